//! Whose an action under way is.

use std::collections::BTreeMap;

use upload_protocol::ClientUploadId;

use crate::action::ActionId;

/// Who waits for an action's outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    /// One upload.
    One(ClientUploadId),
    /// Several, in the order of the request's items; `None` where one has lost interest.
    Many(Vec<Option<ClientUploadId>>),
}

/// All actions under way.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    by_action: BTreeMap<ActionId, Owner>,
}

impl Owners {
    pub(crate) fn insert(&mut self, id: ActionId, owner: Owner) {
        self.by_action.insert(id, owner);
    }

    /// The only upload that waits for it; `None` for a stranger and for an action of many.
    pub(crate) fn one(&self, id: ActionId) -> Option<ClientUploadId> {
        match self.by_action.get(&id) {
            Some(Owner::One(upload)) => Some(*upload),
            _ => None,
        }
    }

    pub(crate) fn contains(&self, id: ActionId) -> bool {
        self.by_action.contains_key(&id)
    }

    pub(crate) fn take(&mut self, id: ActionId) -> Option<Owner> {
        self.by_action.remove(&id)
    }

    /// An upload has lost interest. `true` when nobody is left and the action is off the table.
    pub(crate) fn leave(&mut self, upload: ClientUploadId, id: ActionId) -> bool {
        let is_over = match self.by_action.get_mut(&id) {
            None => return false,
            Some(Owner::One(owner)) => *owner == upload,
            Some(Owner::Many(uploads)) => {
                for slot in uploads.iter_mut().filter(|slot| **slot == Some(upload)) {
                    *slot = None;
                }
                uploads.iter().all(Option::is_none)
            }
        };
        if is_over {
            self.by_action.remove(&id);
        }
        is_over
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    fn upload(number: u128) -> ClientUploadId {
        ClientUploadId::new(Uuid::from_u128(number))
    }

    #[test]
    fn action_of_many_is_over_when_the_last_has_left_and_keeps_the_order_until_then() {
        let mut owners = Owners::default();
        let id = ActionId(1);
        owners.insert(id, Owner::Many(vec![Some(upload(1)), Some(upload(2))]));
        assert!(!owners.leave(upload(1), id));
        assert!(!owners.leave(upload(9), id));
        assert_eq!(owners.one(id), None);
        assert!(owners.contains(id));
        let mut same = Owners::default();
        same.insert(id, Owner::Many(vec![None, Some(upload(2))]));
        assert_eq!(owners.by_action, same.by_action);
        assert!(owners.leave(upload(2), id));
        assert!(!owners.contains(id));
    }

    #[test]
    fn action_of_one_is_left_by_that_one_alone() {
        let mut owners = Owners::default();
        owners.insert(ActionId(1), Owner::One(upload(1)));
        assert!(!owners.leave(upload(2), ActionId(1)));
        assert_eq!(owners.one(ActionId(1)), Some(upload(1)));
        assert!(owners.leave(upload(1), ActionId(1)));
    }
}
