//! The budget: how many instructions each case may take.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result, bail};
use comfy_table::{Table, presets::ASCII_MARKDOWN};

/// How far a count may be from the budget, in per cent.
const TOLERANCE: u64 = 3;

const HEAD: &str = "\
# Instructions of each case, as valgrind counts them in a build of profile `counts`. `.ci/counts` fails if a count is more
# than 3 % above its budget. `.ci/counts --update` writes this file.
";

/// Instructions by case.
#[derive(Debug, Default)]
pub(super) struct Budget(BTreeMap<String, u64>);

impl Budget {
    pub(super) fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        Ok(Self(serde_saphyr::from_str(&text)?))
    }

    pub(super) fn write(&self, file: &Path) -> Result<()> {
        let mut text = HEAD.to_owned();
        for (case, instructions) in &self.0 {
            writeln!(text, "{case}: {instructions}")?;
        }
        Ok(fs::write(file, text)?)
    }

    pub(super) fn updated(mut self, counted: BTreeMap<String, u64>) -> Self {
        self.0.extend(counted);
        self
    }

    pub(super) fn is_exceeded(&self, case: &str, counted: u64) -> bool {
        self.0.get(case).is_some_and(|budget| counted * 100 > budget * (100 + TOLERANCE))
    }

    pub(super) fn table(&self) -> Table {
        let mut table = table(&["case", "instructions"]);
        for (case, instructions) in &self.0 {
            table.add_row([case.clone(), thousands(*instructions)]);
        }
        table
    }

    /// Prints all counts beside their budgets.
    ///
    /// # Errors
    /// If a count is above its budget, or has none.
    pub(super) fn compare(&self, counted: &BTreeMap<String, u64>) -> Result<()> {
        let mut table = table(&["case", "budget", "counted", "change", ""]);
        let (mut above, mut below) = (Vec::new(), Vec::new());
        for (case, &counted) in counted {
            let Some(&budget) = self.0.get(case) else { bail!("{case} has no budget: run .ci/counts --update") };
            let verdict = if self.is_exceeded(case, counted) {
                above.push(case.as_str());
                "**too many**"
            } else if counted * 100 < budget * (100 - TOLERANCE) {
                below.push(case.as_str());
                "fewer"
            } else {
                ""
            };
            table.add_row([
                case.clone(),
                thousands(budget),
                thousands(counted),
                change(budget, counted),
                verdict.into(),
            ]);
        }
        println!("{table}");
        if !below.is_empty() {
            println!(
                "More than {TOLERANCE} % below the budget: {}. Keep the gain: `.ci/counts --update` lowers the budget.",
                below.join(", ")
            );
        }
        if !above.is_empty() {
            bail!(
                "more than {TOLERANCE} % above the budget: {}. `.ci/counts --keep FOLDER` keeps callgrind's output, which \
                 callgrind_annotate shows by function. If the change is worth its cost, or if the compiler, the C library \
                 or valgrind is new, run `.ci/counts --update` and commit benches/counts/budget.yml.",
                above.join(", ")
            );
        }
        Ok(())
    }
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(ASCII_MARKDOWN).set_header(header.iter().copied());
    table
}

#[expect(clippy::cast_precision_loss, reason = "for a person to read")]
fn change(budget: u64, counted: u64) -> String {
    format!("{:+.1} %", (counted as f64 / budget as f64 - 1.0) * 100.0)
}

/// The number with commas.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(instructions: u64) -> BTreeMap<String, u64> {
        [("warm".to_owned(), instructions)].into()
    }

    #[test]
    fn a_count_more_than_three_per_cent_above_its_budget_fails() {
        let budget = Budget(counted(1000));
        assert!(budget.compare(&counted(1030)).is_ok());
        assert!(budget.compare(&counted(900)).is_ok());
        let error = budget.compare(&counted(1031)).unwrap_err().to_string();
        assert!(error.contains("warm") && error.contains("--update"), "{error}");
        assert!(Budget::default().compare(&counted(1)).is_err());
    }

    #[test]
    fn a_budget_survives_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("budget.yml");
        Budget(counted(1_234_567)).write(&file).unwrap();
        assert_eq!(Budget::read(&file).unwrap().0, counted(1_234_567));
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!([7, 1_000, 1_234_567].map(thousands), ["7", "1,000", "1,234,567"]);
    }
}
