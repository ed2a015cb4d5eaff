//! Objects of which nobody was notified, and how often their events are sent to the notifier again.

use std::collections::HashMap;

use crate::{
    aws::s3::Listed,
    notify::{Duty, Notified},
};

/// How many events are sent in one round.
pub(super) const MAX_SENT: usize = 100;

/// The objects that hold something of which people must be notified and were not, each with the number of such records.
pub(super) fn unpublished<D: AsRef<[Duty]>>(objects: &[(&Listed, D)], notified: &Notified) -> Vec<(Listed, usize)> {
    let count = |(object, duties): &(&Listed, D)| {
        let day = object.modified.date_naive();
        let records = duties.as_ref().iter().filter(|duty| !notified.fulfil(duty, day)).count();
        (records > 0).then(|| ((*object).clone(), records))
    };
    objects.iter().filter_map(count).collect()
}

/// For how many rounds each object has been unpublished.
///
/// An event is sent in the first round, the second, the fourth, the eighth and so on. So an object whose marker is
/// never written, because the notifier may not write it, costs ten e-mails in two days and not six hundred.
#[derive(Debug, Default)]
pub(super) struct Rounds(HashMap<String, u32>);

impl Rounds {
    /// Which of these objects' events to send in this round. Those that are not named are forgotten.
    pub(super) fn begin<'o>(&mut self, unpublished: &[&'o Listed]) -> Vec<&'o Listed> {
        let before = std::mem::take(&mut self.0);
        let mut due = Vec::new();
        let rounds_of = |object: &Listed| before.get(&object.key).copied().unwrap_or_default();
        // Those that were never sent have the first turn.
        let mut unpublished = unpublished.to_vec();
        unpublished.sort_by_key(|object| rounds_of(object));
        for object in unpublished {
            let rounds = rounds_of(object);
            let is_due = (rounds + 1).is_power_of_two();
            // One that has to wait for its turn is due in the next round.
            let waits = is_due && due.len() >= MAX_SENT;
            if is_due && !waits {
                due.push(object);
            }
            self.0.insert(object.key.clone(), if waits { rounds } else { rounds + 1 });
        }
        due
    }

    /// For how many rounds this object has been unpublished.
    pub(super) fn of(&self, key: &str) -> u32 {
        self.0.get(key).copied().unwrap_or_default()
    }

    /// Makes an event due again that could not be sent.
    pub(super) fn not_sent(&mut self, key: &str) {
        if let Some(rounds) = self.0.get_mut(key) {
            *rounds = rounds.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn listed(key: &str) -> Listed {
        Listed { key: key.to_owned(), bytes: 1, modified: "2026-11-24T10:00:00Z".parse().unwrap() }
    }

    #[test]
    fn an_event_is_sent_ever_more_rarely() {
        let object = listed("k");
        let mut rounds = Rounds::default();
        // Two days of rounds of five minutes.
        let sent: Vec<_> = (1..=576).filter(|_| !rounds.begin(&[&object]).is_empty()).collect();
        assert_eq!(sent, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]);
        assert!(rounds.begin(&[]).is_empty());
        assert_eq!(rounds.begin(&[&object]).len(), 1, "what was published in between begins anew");
    }

    #[test]
    fn of_many_objects_all_have_their_turn() {
        let objects: Vec<_> = (0..250).map(|n| listed(&format!("k{n:03}"))).collect();
        let objects: Vec<_> = objects.iter().collect();
        let mut rounds = Rounds::default();
        let sent: Vec<_> = (0..3).flat_map(|_| rounds.begin(&objects)).map(|object| object.key.clone()).collect();
        let different: HashSet<_> = sent.iter().collect();
        assert_eq!((sent.len(), different.len()), (3 * MAX_SENT, 250));
    }

    #[test]
    fn what_could_not_be_sent_is_due_again() {
        let object = listed("k");
        let mut rounds = Rounds::default();
        assert_eq!(rounds.begin(&[&object]).len(), 1);
        rounds.not_sent("k");
        assert_eq!((rounds.of("k"), rounds.begin(&[&object]).len()), (0, 1));
    }
}
