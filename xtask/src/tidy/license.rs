//! Licence expressions as SPDX writes them; the older slash means "or".

/// An expression over names of licences.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Expression {
    All(Vec<Expression>),
    Any(Vec<Expression>),
    Name(String),
}

impl Expression {
    /// None if it cannot be read.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let spaced = text
            .replace('/', " OR ")
            .replace('(', " ( ")
            .replace(')', " ) ");
        let mut words = Words {
            words: spaced.split_whitespace().collect(),
            at: 0,
        };
        let expression = words.any()?;
        words.peek().is_none().then_some(expression)
    }

    /// Whether licences that pass are enough.
    pub(crate) fn holds(&self, passes: &dyn Fn(&str) -> bool) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(passes)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(passes)),
            Self::Name(name) => passes(name),
        }
    }
}

struct Words<'a> {
    words: Vec<&'a str>,
    at: usize,
}

impl<'a> Words<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.words.get(self.at).copied()
    }

    fn next(&mut self) -> Option<&'a str> {
        let word = self.peek();
        self.at += 1;
        word
    }

    fn any(&mut self) -> Option<Expression> {
        let mut parts = vec![self.all()?];
        while self.peek() == Some("OR") {
            self.at += 1;
            parts.push(self.all()?);
        }
        Some(Expression::Any(parts))
    }

    fn all(&mut self) -> Option<Expression> {
        let mut parts = vec![self.one()?];
        while self.peek() == Some("AND") {
            self.at += 1;
            parts.push(self.one()?);
        }
        Some(Expression::All(parts))
    }

    fn one(&mut self) -> Option<Expression> {
        match self.next()? {
            "(" => {
                let inner = self.any()?;
                (self.next()? == ")").then_some(inner)
            }
            ")" | "AND" | "OR" | "WITH" => None,
            name if self.peek() == Some("WITH") => {
                self.at += 1;
                Some(Expression::Name(format!("{name} WITH {}", self.next()?)))
            }
            name => Some(Expression::Name(name.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_hold_as_far_as_allowed() {
        let allowed = |name: &str| ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].contains(&name);
        for (text, holds) in [
            ("MIT", true),
            ("MIT/Apache-2.0", true),
            ("GPL-3.0-only", false),
            ("GPL-3.0-only OR MIT", true),
            ("GPL-3.0-only AND MIT", false),
            ("MIT OR GPL-3.0-only AND ISC", true),
            ("(MIT OR GPL-3.0-only) AND ISC", true),
            ("(MIT OR ISC) AND GPL-3.0-only", false),
            ("Apache-2.0", false),
            ("Apache-2.0 WITH LLVM-exception", true),
        ] {
            let expression = Expression::parse(text).unwrap();
            assert_eq!(expression.holds(&allowed), holds, "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "", "MIT OR", "OR MIT", "(MIT", "MIT)", "MIT ISC", "MIT WITH", "()",
        ] {
            assert_eq!(Expression::parse(text), None, "{text}");
        }
    }
}
