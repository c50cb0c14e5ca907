//! What every object store must do, as plain functions over the trait.
//!
//! Call [`suite`] with a bucket that the credentials may use; it leaves nothing in it. A store is held
//! to what it is declared to be able to do, see [`Capabilities`](upload_storage::Capabilities): where an ability is absent, the suite
//! checks what the trait promises without it.

mod abort;
mod check;
mod complete;
mod keys;
mod list;
mod single;
mod urls;

use upload_storage::ObjectStorage;

use check::Check;

/// A store to be looked at.
#[derive(Debug, Clone, Copy)]
pub struct Stores<'a> {
    /// A bucket of it.
    pub storage: &'a dyn ObjectStorage,
    /// The same store and credentials, with a bucket that does not exist.
    pub without_bucket: &'a dyn ObjectStorage,
}

/// The whole suite.
///
/// # Panics
/// With what the store did wrong.
pub async fn suite(stores: Stores<'_>) {
    let check = Check::new(stores.storage);
    list::bucket_is_ready_and_a_missing_one_is_refused(&check, stores.without_bucket).await;
    list::upload_is_found_by_its_exact_key_until_it_ends(&check).await;
    list::parts_are_listed_over_all_pages_and_aborted_to_the_last(&check).await;
    urls::part_url_takes_exactly_its_bytes(&check).await;
    urls::part_url_can_not_be_turned_to_another_use(&check).await;
    urls::expired_url_is_refused(&check).await;
    complete::completed_object_has_size_and_checksum_and_repeats_answer_it(&check).await;
    complete::completes_at_once_all_answer_the_same_object(&check).await;
    complete::complete_with_a_wrong_size_never_answers_success(&check).await;
    complete::part_sent_again_since_it_was_listed_is_noticed(&check).await;
    complete::complete_over_another_object_is_refused(&check).await;
    complete::upload_of_one_small_part_and_of_no_byte_completes(&check).await;
    abort::abort_leaves_nothing_and_may_be_repeated(&check).await;
    abort::part_url_of_an_aborted_upload_is_refused(&check).await;
    abort::complete_of_an_upload_that_is_gone_says_so(&check).await;
    keys::key_with_emoji_spaces_and_signs_is_the_key_of_one_object(&check).await;
    keys::longest_keys_are_taken(&check).await;
    single::missing_object_is_none_and_can_be_deleted(&check).await;
    if check.can.checksum {
        complete::complete_with_a_wrong_checksum_makes_no_object(&check).await;
    }
    if check.can.checksum && check.can.conditional_write {
        single::single_put_takes_exactly_its_bytes_and_does_not_overwrite(&check).await;
        single::object_of_no_byte_is_written(&check).await;
        single::expired_single_url_is_refused(&check).await;
    }
}
