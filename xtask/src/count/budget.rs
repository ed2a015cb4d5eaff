//! The budget: how many instructions each case may take.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result, bail};
use comfy_table::{Table, presets::ASCII_MARKDOWN};
use serde::Deserialize;

/// How far a count may be from the budget, in per cent.
const TOLERANCE: u64 = 3;

const HEAD: &str = "\
# Instructions of each case, as valgrind counts them in a build of profile `counts`. `.ci/counts` fails if a count is more
# than 3 % above its budget. On another kind of machine it compares nothing, because the compiler, valgrind, the C library
# and the processor count, too. `.ci/counts --update` writes this file.
";

/// Instructions by case, on one kind of machine.
#[derive(Debug, Default, PartialEq, Deserialize)]
pub(super) struct Budget {
    machine: String,
    instructions: BTreeMap<String, u64>,
}

impl Budget {
    pub(super) fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        Ok(serde_saphyr::from_str(&text)?)
    }

    pub(super) fn write(&self, file: &Path) -> Result<()> {
        let mut text = format!("{HEAD}machine: {:?}\ninstructions:\n", self.machine);
        for (case, instructions) in &self.instructions {
            writeln!(text, "  {case}: {instructions}")?;
        }
        Ok(fs::write(file, text)?)
    }

    /// The budget with what was counted on this machine. What another machine has counted is dropped.
    pub(super) fn updated(mut self, machine: String, counted: BTreeMap<String, u64>) -> Self {
        if self.machine != machine {
            self = Self { machine, ..Self::default() };
        }
        self.instructions.extend(counted);
        self
    }

    pub(super) fn is_exceeded(&self, case: &str, counted: u64) -> bool {
        self.instructions.get(case).is_some_and(|budget| counted * 100 > budget * (100 + TOLERANCE))
    }

    pub(super) fn table(&self) -> Table {
        let mut table = table(&["case", "instructions"]);
        for (case, instructions) in &self.instructions {
            table.add_row([case.clone(), thousands(*instructions)]);
        }
        table
    }

    /// Prints all counts beside their budgets.
    ///
    /// # Errors
    /// If a count is above its budget, or has none, and the machine is of the budget's kind.
    pub(super) fn compare(&self, machine: &str, counted: &BTreeMap<String, u64>) -> Result<()> {
        let mut table = table(&["case", "budget", "counted", "change", ""]);
        let (mut above, mut below) = (Vec::new(), Vec::new());
        for (case, &counted) in counted {
            let Some(&budget) = self.instructions.get(case) else {
                bail!("{case} has no budget: run .ci/counts --update")
            };
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
        if self.machine != machine {
            println!("Not compared: this machine has {machine}, and the budget is of one with {}.", self.machine);
            return Ok(());
        }
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

    const MACHINE: &str = "rustc 1, x86_64";

    fn counted(instructions: u64) -> BTreeMap<String, u64> {
        [("warm".to_owned(), instructions)].into()
    }

    fn budget(instructions: u64) -> Budget {
        Budget::default().updated(MACHINE.to_owned(), counted(instructions))
    }

    #[test]
    fn a_count_more_than_three_per_cent_above_its_budget_fails() {
        let budget = budget(1000);
        assert!(budget.compare(MACHINE, &counted(1030)).is_ok());
        assert!(budget.compare(MACHINE, &counted(900)).is_ok());
        let error = budget.compare(MACHINE, &counted(1031)).unwrap_err().to_string();
        assert!(error.contains("warm") && error.contains("--update"), "{error}");
        assert!(Budget::default().compare(MACHINE, &counted(1)).is_err());
    }

    #[test]
    fn counts_of_different_machines_are_not_compared() {
        assert!(budget(1000).compare("rustc 2, x86_64", &counted(9000)).is_ok());
        let updated = budget(1000).updated("rustc 2, x86_64".to_owned(), BTreeMap::new());
        assert!(updated.instructions.is_empty());
    }

    #[test]
    fn a_budget_survives_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("budget.yml");
        budget(1_234_567).write(&file).unwrap();
        assert_eq!(Budget::read(&file).unwrap(), budget(1_234_567));
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!([7, 1_000, 1_234_567].map(thousands), ["7", "1,000", "1,234,567"]);
    }
}
