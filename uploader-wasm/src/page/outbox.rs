//! Commands on their way: kept until the engine has them, since the engine may die at any moment and
//! another take its place. Pure.

use std::collections::HashSet;

use uuid::Uuid;

/// Commands that are not acknowledged yet, in order. `C` is a command.
#[derive(Debug)]
pub(super) struct Outbox<C> {
    waiting: Vec<(Uuid, C)>,
}

impl<C> Default for Outbox<C> {
    fn default() -> Self {
        Self { waiting: Vec::new() }
    }
}

impl<C> Outbox<C> {
    /// A command was given.
    pub(super) fn push(&mut self, id: Uuid, command: C) {
        self.waiting.push((id, command));
    }

    /// Commands that must be carried out, in this order, before all that wait.
    pub(super) fn push_first(&mut self, commands: Vec<(Uuid, C)>) {
        self.waiting.splice(0..0, commands);
    }

    /// The engine has these.
    pub(super) fn on_acks(&mut self, ids: &[Uuid]) {
        let acknowledged: HashSet<_> = ids.iter().collect();
        self.waiting
            .retain(|(waiting, _)| !acknowledged.contains(waiting));
    }

    /// What has to be sent to a new engine, in order.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &(Uuid, C)> {
        self.waiting.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_stay_in_order_until_each_is_acknowledged() {
        let mut outbox = Outbox::default();
        for number in 1..=3 {
            outbox.push(Uuid::from_u128(number), number);
        }
        outbox.on_acks(&[Uuid::from_u128(2), Uuid::from_u128(9)]);
        let left: Vec<_> = outbox.waiting().map(|(_, command)| *command).collect();
        assert_eq!(left, [1, 3]);
    }

    #[test]
    fn commands_pushed_first_come_before_those_that_wait() {
        let mut outbox = Outbox::default();
        outbox.push(Uuid::from_u128(3), "cancel");
        outbox.push_first(vec![(Uuid::from_u128(1), "pick"), (Uuid::from_u128(2), "pause")]);
        let order: Vec<_> = outbox.waiting().map(|(_, command)| *command).collect();
        assert_eq!(order, ["pick", "pause", "cancel"]);
    }
}
