//! Prints what was measured.

use super::figures::Figures;
use serde_json::{Map, Value, json};

/// The figures of one client, or of two.
#[derive(Debug)]
pub(crate) struct Report {
    /// Where they were taken.
    pub(crate) machine: String,
    /// Ours.
    pub(crate) own: Figures,
    /// The other client's, if there is one.
    pub(crate) other: Option<Figures>,
}

#[expect(clippy::print_stdout, reason = "the report is what was asked for")]
impl Report {
    pub(crate) fn print(&self, as_json: bool) {
        match as_json {
            true => println!("{}", self.json()),
            false => println!("{}", self.table()),
        }
    }

    fn json(&self) -> Value {
        let object = |figures: &Figures| -> Map<String, Value> {
            let pairs = figures.names.iter().zip(&figures.values);
            pairs
                .map(|((name, unit), value)| (format!("{name} [{unit}]"), json!(value)))
                .collect()
        };
        json!({
            "machine": self.machine,
            "own": object(&self.own),
            "other": self.other.as_ref().map(object),
        })
    }

    fn table(&self) -> String {
        let mut lines = vec![self.machine.clone(), String::new()];
        if self.other.is_some() {
            lines.push(format!(
                "{:<31}{:>10}{:>10}{:>8}",
                "", "ours", "other", "ratio"
            ));
        }
        for (n, (name, unit)) in self.own.names.iter().enumerate() {
            let own = self.own.values[n];
            let other = self.other.as_ref().map_or_else(String::new, |other| {
                let other = other.values[n];
                format!("{other:>10.2}{:>8.2}", own / other)
            });
            lines.push(format!("{name:<31}{own:>10.2}{other}  {unit}"));
        }
        lines.join("\n")
    }
}
