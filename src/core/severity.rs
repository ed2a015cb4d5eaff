//! How severe an alert is.

use std::{fmt, str::FromStr};

/// The severities in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Info.
    Info,
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
    /// Critical.
    Critical,
}

impl Severity {
    /// The severity from which people are notified if `NOTIFY_SEVERITY` is not set.
    pub const DEFAULT_THRESHOLD: Self = Self::Medium;

    const ALL: [Self; 5] = [Self::Info, Self::Low, Self::Medium, Self::High, Self::Critical];
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl FromStr for Severity {
    type Err = String;

    /// Case does not matter.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_named = |severity: &Self| severity.to_string().eq_ignore_ascii_case(text.trim());
        let names = Self::ALL.map(|severity| severity.to_string()).join(", ");
        Self::ALL.into_iter().find(is_named).ok_or_else(|| format!("expected one of {names}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities_have_an_order_and_no_case() {
        let parsed = ["info", "LOW", " Medium ", "hIGH", "Critical"].map(|text| text.parse::<Severity>().unwrap());
        assert_eq!(parsed, Severity::ALL);
        assert!(parsed.is_sorted());
        assert_eq!("Urgent".parse::<Severity>().unwrap_err(), "expected one of Info, Low, Medium, High, Critical");
    }
}
