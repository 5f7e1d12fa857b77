//! All inputs that were ever worth keeping, again.

#![expect(
    clippy::print_stdout,
    reason = "the output of a test that fails names the input"
)]

use fuzz_targets::Target;
use std::{fs, path::PathBuf};

/// Tries every input of a target, and the empty one.
fn replay(name: &str) {
    let target = Target::named(name).expect("a target of that name");
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let entries = fs::read_dir(folder.join(name)).expect("each target has a corpus");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("the corpus can be listed").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "no corpus");
    target.check(&[]);
    for path in paths {
        println!("{}", path.display());
        target.check(&fs::read(&path).expect("the corpus can be read"));
    }
}

macro_rules! replays {
    ($($name:ident),*) => {
        $(
            #[test]
            fn $name() {
                replay(stringify!($name));
            }
        )*

        #[test]
        fn every_target_is_replayed() {
            let names = fuzz_targets::TARGETS.map(|target| target.name);
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}

replays!(
    datagrams,
    dns_query,
    dns_response,
    ipc,
    packets,
    patterns,
    portal,
    resolv_conf,
    session
);
