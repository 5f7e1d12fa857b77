#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    fuzz_targets::Target::named("resolv_conf").expect("it exists").check(input);
});
