//! What a bench measures of a client.

/// What a figure is called, and its unit.
pub(crate) type Name = (&'static str, &'static str);

/// A value for each name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Figures {
    pub(crate) names: &'static [Name],
    pub(crate) values: Vec<f64>,
}

impl Figures {
    /// Of each value the one in the middle.
    ///
    /// All must have the same names.
    pub(crate) fn median(all: &[Self]) -> Self {
        let names = all.first().map_or(&[][..], |first| first.names);
        let middle = |n: usize| {
            let mut values: Vec<f64> = all.iter().map(|figures| figures.values[n]).collect();
            values.sort_by(f64::total_cmp);
            let length = values.len();
            f64::midpoint(values[(length - 1) / 2], values[length / 2])
        };
        Self {
            names,
            values: (0..names.len()).map(middle).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let of = |values: &[f64]| {
            let figures = |&value: &f64| Figures {
                names: &[("speed", "m/s")],
                values: vec![value],
            };
            let all: Vec<Figures> = values.iter().map(figures).collect();
            Figures::median(&all).values
        };
        assert_eq!(of(&[3.0, 1.0, 2.0]), [2.0]);
        assert_eq!(of(&[4.0, 1.0]), [2.5]);
        assert!(of(&[]).is_empty());
    }
}
