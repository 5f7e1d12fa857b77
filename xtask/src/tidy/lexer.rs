//! Tells code, comments and literals of a Rust file apart, without understanding more of it.

/// The text of a file twice, in equally many characters and the same lines.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Masked {
    /// Comments and the content of literals are blank.
    pub(crate) code: String,
    /// All but comments is blank.
    pub(crate) comments: String,
}

impl Masked {
    fn put(&mut self, to: Kind, c: char) {
        let blank = if c == '\n' { '\n' } else { ' ' };
        let (code, comment) = match to {
            Kind::Code => (c, blank),
            Kind::Comment => (blank, c),
            Kind::Literal => (blank, blank),
        };
        self.code.push(code);
        self.comments.push(comment);
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Code,
    Comment,
    Literal,
}

/// Masks a file.
pub(crate) fn mask(text: &str) -> Masked {
    let chars: Vec<char> = text.chars().collect();
    let mut masked = Masked::default();
    let mut at = 0;
    while at < chars.len() {
        let (kind, length) = token(&chars, at);
        for &c in &chars[at..at + length] {
            masked.put(kind, c);
        }
        at += length;
    }
    masked
}

/// Kind and length of what starts here; at least one character.
fn token(chars: &[char], at: usize) -> (Kind, usize) {
    let rest = &chars[at..];
    match rest {
        ['/', '/', ..] => (Kind::Comment, line_length(rest)),
        ['/', '*', ..] => (Kind::Comment, block_comment_length(rest)),
        ['"', ..] => (Kind::Literal, string_length(rest)),
        ['\'', ..] => char_length(rest).map_or((Kind::Code, 1), |length| (Kind::Literal, length)),
        ['r', '"' | '#', ..] | ['b' | 'c', 'r', ..] if !follows_word(chars, at) => {
            raw_string_length(rest).map_or((Kind::Code, 1), |length| (Kind::Literal, length))
        }
        _ => (Kind::Code, 1),
    }
}

fn follows_word(chars: &[char], at: usize) -> bool {
    at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_')
}

fn line_length(rest: &[char]) -> usize {
    rest.iter().position(|&c| c == '\n').unwrap_or(rest.len())
}

fn block_comment_length(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at + 1 < rest.len() {
        match (rest[at], rest[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn string_length(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// None for a lifetime.
fn char_length(rest: &[char]) -> Option<usize> {
    match rest {
        [_, '\\', _, tail @ ..] => tail.iter().position(|&c| c == '\'').map(|end| end + 4),
        [_, _, '\'', ..] => Some(3),
        _ => None,
    }
}

/// None for anything but a raw string, such as `r#type`.
fn raw_string_length(rest: &[char]) -> Option<usize> {
    let start = rest.iter().position(|&c| c == 'r')? + 1;
    let hashes = rest[start..].iter().take_while(|&&c| c == '#').count();
    let open = start + hashes;
    if rest.get(open) != Some(&'"') {
        return None;
    }
    let closes = |&at: &usize| {
        let tail = &rest[at + 1..];
        rest[at] == '"' && tail.len() >= hashes && tail[..hashes].iter().all(|&c| c == '#')
    };
    let end = (open + 1..rest.len())
        .find(closes)
        .map(|at| at + 1 + hashes);
    Some(end.unwrap_or(rest.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_comments_are_no_code() {
        for (text, code) in [
            ("a // b", "a     "),
            ("a /* b /* c */ d */ e", "a                   e"),
            (r#"f("x // y") + 1"#, "f(        ) + 1"),
            (r#"f("\"") + 1"#, "f(    ) + 1"),
            ("f(r#\"a\"b\"#) + 1", "f(        ) + 1"),
            ("f(br\"a\") + 1", "f(     ) + 1"),
            ("r#type + for", "r#type + for"),
            (
                "f('\"', '\\'', '\\u{1f}') + 1",
                "f(   ,     ,         ) + 1",
            ),
            ("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)"),
            ("var\"x\"", "var   "),
        ] {
            assert_eq!(mask(text).code, code, "{text}");
        }
    }

    #[test]
    fn comments_keep_their_text_and_line() {
        let masked = mask("let a = \"// no\";\nb(); // yes\n/* and\nthis */ c");
        let lines: Vec<_> = masked.comments.lines().map(str::trim).collect();
        assert_eq!(lines, ["", "// yes", "/* and", "this */"]);
        assert_eq!(masked.code.lines().count(), 4);
    }

    #[test]
    fn unfinished_literals_end_with_the_file() {
        for text in ["\"a", "/* a", "r#\"a", "'\\", "'", "r", "b", "\"\\"] {
            assert_eq!(
                mask(text).code.chars().count(),
                text.chars().count(),
                "{text}"
            );
        }
    }
}
