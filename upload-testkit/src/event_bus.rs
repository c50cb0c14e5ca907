//! What every event bus must do, as plain functions over the trait.
//!
//! Call [`suite`] with two handles of one bus that has heard nothing, as two processes hold them; a bus
//! of one process is both.

use std::sync::Arc;
use std::time::Duration;

use presign_server::events::{Audience, EventBus, News, Run, Subscription};
use upload_protocol::{
    AllRuns, DonePayload, ErrorPayload, LiveEvent, LiveMessage, PartDonePayload, PartNumber, RunSelection,
    SessionId, StartPayload,
};
use uuid::Uuid;

/// Every run that a subscriber may see.
pub const ALL: RunSelection = RunSelection::All(AllRuns::All);

/// How long a message may take from one process to another.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(10);

/// How long silence is listened to.
const SILENCE: Duration = Duration::from_millis(300);

/// The whole suite.
///
/// # Panics
/// With what the bus did wrong.
pub async fn suite(one: &Arc<dyn EventBus>, two: &Arc<dyn EventBus>) {
    follower_is_told_each_fact_once_and_the_start_first(one, two).await;
    late_follower_is_told_history_and_what_comes_without_gap_or_duplicate(one, two).await;
    nothing_is_told_after_the_end(one, two).await;
    follower_sees_its_audience_only(one, two).await;
    follower_of_one_run_hears_no_other_and_of_all_hears_each_once(one, two).await;
    reader_that_stops_finds_what_it_missed(one, two).await;
    true_etag_is_told_to_those_who_come_later(one, two).await;
}

fn client_of(owner: &str) -> &str {
    owner.split('/').next().unwrap_or_default()
}

/// News of a run of this owner, `client` or `client/scope`.
pub fn news(id: SessionId, owner: &str, events: Vec<LiveEvent>) -> News {
    News {
        run: Run {
            id,
            owner: owner.to_owned(),
            client: client_of(owner).to_owned(),
            start: StartPayload {
                bucket: "bucket".to_owned(),
                key: format!("uploads/{id}/a.mov"),
                upload_id: format!("upload-{id}"),
                total: 50 << 20,
                part_mb: 5.0,
            },
        },
        events,
    }
}

/// A run of its own.
pub fn new_run() -> SessionId {
    SessionId::new(Uuid::new_v4())
}

/// A part is done.
///
/// # Panics
/// When it is no part number.
pub fn part(number: u32) -> LiveEvent {
    LiveEvent::PartDone(PartDonePayload {
        part: PartNumber::new(number).expect("a part number"),
        size: 5 << 20,
        etag: String::new(),
    })
}

/// The run has ended.
pub fn done(id: SessionId) -> LiveEvent {
    LiveEvent::SessionDone(DonePayload {
        success: true,
        upload_id: format!("upload-{id}"),
    })
}

/// Something went wrong.
pub fn error(message: &str) -> LiveEvent {
    LiveEvent::Error(ErrorPayload {
        message: message.to_owned(),
        part_number: None,
    })
}

/// A subscriber to some runs.
pub fn follow(bus: &Arc<dyn EventBus>, audience: Audience, runs: &[RunSelection]) -> Subscription {
    let mut subscription = bus.subscribe(audience);
    for run in runs {
        subscription.add(*run).expect("room for one more run");
    }
    subscription
}

/// The next so many messages.
///
/// # Panics
/// When they don't come.
pub async fn take(subscription: &mut Subscription, count: usize) -> Vec<LiveMessage> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let next = tokio::time::timeout(ARRIVAL_TIMEOUT, subscription.next(count - taken.len())).await;
        taken.extend(next.unwrap_or_else(|_| panic!("{count} messages were to come, {} did", taken.len())));
    }
    taken
}

/// Nothing more comes.
///
/// # Panics
/// When something does.
pub async fn expect_silence(subscription: &mut Subscription) {
    let next = tokio::time::timeout(SILENCE, subscription.next(10)).await;
    assert!(next.is_err(), "nothing was to come: {next:?}");
}

/// `start 1 2 error done`, in the order they came.
pub fn short(messages: &[LiveMessage]) -> String {
    let words: Vec<String> = messages
        .iter()
        .map(|message| match &message.event {
            LiveEvent::SessionStart(_) => "start".to_owned(),
            LiveEvent::PartDone(part) => part.part.to_string(),
            LiveEvent::Error(error) => error.message.clone(),
            LiveEvent::SessionDone(_) => "done".to_owned(),
        })
        .collect();
    words.join(" ")
}

async fn follower_is_told_each_fact_once_and_the_start_first(
    one: &Arc<dyn EventBus>,
    two: &Arc<dyn EventBus>,
) {
    let id = new_run();
    let mut here = follow(one, Audience::All, &[RunSelection::Run(id)]);
    let mut there = follow(two, Audience::All, &[RunSelection::Run(id)]);
    one.publish(news(id, "a", vec![]));
    one.publish(news(id, "a", vec![part(1), error("lost"), part(1)]));
    one.publish(news(id, "a", vec![error("lost"), part(2)]));
    one.publish(news(id, "a", vec![part(1), done(id)]));
    for follower in [&mut here, &mut there] {
        let messages = take(follower, 5).await;
        // Between start and end a bus that reads its history has it in an order of its own.
        let told = short(&messages);
        let mut between: Vec<&str> = told.split(' ').collect();
        between[1..4].sort_unstable();
        assert_eq!(between, ["start", "1", "2", "lost", "done"]);
        assert!(messages.iter().all(|message| message.run_id == id));
        let LiveEvent::SessionStart(start) = &messages[0].event else {
            panic!("{messages:?}")
        };
        assert_eq!(*start, news(id, "a", vec![]).run.start);
        expect_silence(follower).await;
    }
}

async fn late_follower_is_told_history_and_what_comes_without_gap_or_duplicate(
    one: &Arc<dyn EventBus>,
    two: &Arc<dyn EventBus>,
) {
    let id = new_run();
    let sender = {
        let one = one.clone();
        tokio::spawn(async move {
            for number in 1..=200 {
                one.publish(news(id, "a", vec![part(number)]));
                if number % 10 == 0 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            one.publish(news(id, "a", vec![done(id)]));
        })
    };
    // Followers that come at different moments, at both ends.
    let mut followers = Vec::new();
    for _ in 0..8 {
        for bus in [one, two] {
            followers.push(follow(bus, Audience::All, &[RunSelection::Run(id)]));
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    sender.await.expect("the sender");
    for follower in &mut followers {
        let messages = take(follower, 202).await;
        let mut parts: Vec<u32> = messages
            .iter()
            .filter_map(|message| match &message.event {
                LiveEvent::PartDone(part) => Some(part.part.value()),
                _ => None,
            })
            .collect();
        parts.sort_unstable();
        assert_eq!(parts, (1..=200).collect::<Vec<_>>());
        assert!(matches!(messages[0].event, LiveEvent::SessionStart(_)));
        assert!(matches!(messages[201].event, LiveEvent::SessionDone(_)));
        expect_silence(follower).await;
    }
}

async fn nothing_is_told_after_the_end(one: &Arc<dyn EventBus>, two: &Arc<dyn EventBus>) {
    let id = new_run();
    let mut there = follow(two, Audience::All, &[RunSelection::Run(id)]);
    one.publish(news(id, "a", vec![done(id)]));
    assert_eq!(short(&take(&mut there, 2).await), "start done");
    two.publish(news(id, "a", vec![part(1), error("late"), done(id)]));
    expect_silence(&mut there).await;
}

async fn follower_sees_its_audience_only(one: &Arc<dyn EventBus>, two: &Arc<dyn EventBus>) {
    let (mine, other) = (new_run(), new_run());
    let (client, owner) = (format!("client-{mine}"), format!("client-{mine}/anna"));
    one.publish(news(other, "other/anna", vec![part(1)]));
    one.publish(news(mine, &owner, vec![part(2)]));
    for audience in [
        Audience::Client(client),
        Audience::Owner(owner),
        Audience::Run(mine),
    ] {
        let mut follower = follow(two, audience.clone(), &[ALL]);
        assert_eq!(short(&take(&mut follower, 2).await), "start 2");
        expect_silence(&mut follower).await;
        let mut follower = follow(two, audience, &[RunSelection::Run(other)]);
        expect_silence(&mut follower).await;
        assert!(follower.history(other).is_empty());
    }
}

async fn follower_of_one_run_hears_no_other_and_of_all_hears_each_once(
    one: &Arc<dyn EventBus>,
    two: &Arc<dyn EventBus>,
) {
    let (first, second) = (new_run(), new_run());
    let owner = format!("owner-{first}");
    let mut follower = follow(two, Audience::Owner(owner.clone()), &[RunSelection::Run(first)]);
    one.publish(news(first, &owner, vec![part(1)]));
    one.publish(news(second, &owner, vec![part(2)]));
    assert_eq!(short(&take(&mut follower, 2).await), "start 1");
    expect_silence(&mut follower).await;
    // All, beside the one: what was told is not told again, and each comes once.
    follower.add(ALL).expect("all");
    assert_eq!(short(&take(&mut follower, 2).await), "start 2");
    one.publish(news(first, &owner, vec![part(3)]));
    assert_eq!(short(&take(&mut follower, 1).await), "3");
    expect_silence(&mut follower).await;
    // Without all, the one goes on.
    follower.remove(ALL);
    one.publish(news(second, &owner, vec![part(4)]));
    one.publish(news(first, &owner, vec![part(5)]));
    assert_eq!(short(&take(&mut follower, 1).await), "5");
    follower.remove(RunSelection::Run(first));
    one.publish(news(first, &owner, vec![part(6)]));
    expect_silence(&mut follower).await;
}

async fn reader_that_stops_finds_what_it_missed(one: &Arc<dyn EventBus>, two: &Arc<dyn EventBus>) {
    let id = new_run();
    let mut follower = follow(two, Audience::All, &[RunSelection::Run(id)]);
    one.publish(news(id, "a", vec![part(1)]));
    assert_eq!(short(&take(&mut follower, 2).await), "start 1");
    one.publish(news(id, "a", (2..=5000).map(part).collect()));
    tokio::time::sleep(SILENCE).await;
    let messages = take(&mut follower, 4999).await;
    assert_eq!(short(&messages[..3]), "2 3 4");
    expect_silence(&mut follower).await;
}

async fn true_etag_is_told_to_those_who_come_later(one: &Arc<dyn EventBus>, two: &Arc<dyn EventBus>) {
    let id = new_run();
    let mut follower = follow(two, Audience::All, &[RunSelection::Run(id)]);
    one.publish(news(id, "a", vec![part(1)]));
    assert_eq!(short(&take(&mut follower, 2).await), "start 1");
    let LiveEvent::PartDone(mut better) = part(1) else {
        unreachable!("a part")
    };
    better.etag.push_str("5d41402abc4b2a76b9719d911017c592");
    one.publish(news(id, "a", vec![LiveEvent::PartDone(better.clone()), part(1)]));
    // Behind it, so that both ends have heard of it.
    one.publish(news(id, "a", vec![part(2)]));
    assert_eq!(short(&take(&mut follower, 1).await), "2");
    for bus in [one, two] {
        let history = follow(bus, Audience::All, &[]).history(id);
        assert_eq!(short(&history), "start 1 2");
        assert_eq!(history[1].event, LiveEvent::PartDone(better.clone()));
    }
}
