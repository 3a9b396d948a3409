use std::{
    sync::atomic::{AtomicUsize, Ordering},
    task::{Wake, Waker},
};

use super::*;

const CONFIG: Config = Config {
    max_bytes: 100,
    keep_bytes: 20,
    keep_bytes_overall: 1 << 20,
    window_bytes: 30,
};

fn log(events: u64) -> Log<&'static str> {
    let log = Log::new(CONFIG, Arc::default(), Vec::new(), 0);
    (1..=events).for_each(|sequence| add(&log, entry(sequence)));
    log
}

/// Adds an event that the store has at once.
fn add(log: &Log<&'static str>, entry: Entry) {
    let sequence = entry.sequence;
    log.append([entry]);
    log.commit(sequence);
}

/// An event of ten bytes.
fn entry(sequence: u64) -> Entry {
    let bytes = Bytes::from(format!("event {sequence:4}"));
    Entry {
        sequence,
        turn_id: None,
        class: EventClass::Plain,
        end: None,
        bytes,
    }
}

fn entry_of(turn: &str, sequence: u64) -> Entry {
    Entry {
        turn_id: Some(turn.into()),
        ..entry(sequence)
    }
}

fn end_of(turn: &str, sequence: u64) -> Entry {
    let end = TurnEnd {
        turn_id: turn.into(),
        failure: None,
    };
    Entry {
        class: EventClass::TurnEnd,
        end: Some(Arc::new(end)),
        ..entry_of(turn, sequence)
    }
}

fn reader(log: &Log<&'static str>, after: u64, paces: bool) -> ReaderId {
    let interest = Interest::Everything;
    log.attach(Attachment {
        after,
        interest,
        paces,
        lenient: false,
        on_gone: Some("gone"),
    })
    .0
}

/// What a reader sees until it would wait: numbers, notices, and how it ends.
fn read_all(log: &Log<&'static str>, id: ReaderId) -> Vec<String> {
    let cx = Context::from_waker(Waker::noop());
    let mut seen = Vec::new();
    loop {
        match log.poll_read(id, &cx) {
            Poll::Pending => return seen,
            Poll::Ready(Read::Entry(entry)) => seen.push(entry.sequence.to_string()),
            Poll::Ready(Read::Notice(notice)) => {
                seen.push(String::from_utf8_lossy(&notice).into_owned());
            }
            Poll::Ready(Read::End(failure)) => {
                seen.push(format!("end {:?}", failure.map(|failure| failure.reason)));
                return seen;
            }
        }
    }
}

#[test]
fn a_reader_gets_each_event_once_and_in_order() {
    let log = log(2);
    let id = reader(&log, 0, false);
    assert_eq!(read_all(&log, id), ["1", "2"]);
    add(&log, entry(3));
    assert_eq!(read_all(&log, id), ["3"]);
}

#[test]
fn a_reader_begins_after_its_cursor() {
    let log = log(3);
    let id = reader(&log, 2, false);
    assert_eq!(read_all(&log, id), ["3"]);
}

#[test]
fn what_all_have_read_is_dropped_beyond_what_is_kept() {
    let log = log(5);
    let late = reader(&log, 3, false);
    assert_eq!(read_all(&log, late), ["4", "5"]);
    let later = reader(&log, 2, false);
    assert_eq!(read_all(&log, later), ["end Some(SlowConsumer)"]);
}

#[test]
fn what_a_slow_reader_has_not_read_is_held_up_to_the_bound_and_then_it_is_cut_off() {
    let log = log(0);
    let slow = reader(&log, 0, false);
    (1..=10).for_each(|sequence| add(&log, entry(sequence)));
    assert_eq!(read_all(&log, slow).len(), 10);
    (11..=21).for_each(|sequence| add(&log, entry(sequence)));
    assert_eq!(read_all(&log, slow), ["end Some(SlowConsumer)"]);
}

#[test]
fn a_pacing_reader_fills_the_log_and_reading_makes_room() {
    let log = log(0);
    let id = reader(&log, 0, true);
    (1..=3).for_each(|sequence| add(&log, entry(sequence)));
    assert!(!log.is_full());
    add(&log, entry(4));
    assert!(log.is_full());
    assert_eq!(read_all(&log, id).len(), 4);
    assert!(!log.is_full());
}

#[test]
fn a_pacing_reader_that_goes_makes_room_and_tells_what_follows() {
    let log = log(0);
    let id = reader(&log, 0, true);
    (1..=4).for_each(|sequence| add(&log, entry(sequence)));
    assert_eq!(log.detach(id), Some("gone"));
    assert!(!log.is_full());
}

#[test]
fn a_laggard_is_cut_off_once_and_its_going_tells_nothing_more() {
    let log = log(0);
    let id = reader(&log, 0, true);
    let quick = reader(&log, 0, true);
    (1..=4).for_each(|sequence| add(&log, entry(sequence)));
    read_all(&log, quick);
    assert_eq!(log.cut_laggards(), ["gone"]);
    assert_eq!(read_all(&log, id), ["end Some(SlowConsumer)"]);
    assert_eq!(log.detach(id), None);
    assert!(!log.is_full());
}

#[test]
fn a_stream_ends_after_the_events_so_far() {
    let log = log(1);
    let id = reader(&log, 0, false);
    log.end(id, None);
    add(&log, entry(2));
    assert_eq!(read_all(&log, id), ["1", "end None"]);
}

#[test]
fn a_notice_comes_ahead_of_what_is_unread_and_for_readers_of_everything_alone() {
    let log = log(1);
    let id = reader(&log, 0, false);
    let interest = Interest::EndOf("t".into());
    let (end, _) = log.attach(Attachment {
        after: 0,
        interest,
        paces: false,
        lenient: false,
        on_gone: None,
    });
    log.notify_all(|cursor| format!("notice at {cursor}").into());
    assert_eq!(read_all(&log, id), ["notice at 0", "1"]);
    assert!(read_all(&log, end).is_empty());
}

#[test]
fn a_reader_of_an_end_passes_over_everything_else() {
    let log = log(2);
    let interest = Interest::EndOf("t".into());
    let (id, _) = log.attach(Attachment {
        after: 0,
        interest,
        paces: false,
        lenient: false,
        on_gone: None,
    });
    (3..=12).for_each(|sequence| add(&log, entry(sequence)));
    add(&log, end_of("other", 13));
    add(&log, end_of("t", 14));
    assert_eq!(read_all(&log, id), ["14"]);
}

#[test]
fn a_reader_whose_end_comes_after_events_it_passes_over_is_woken_for_it() {
    let log = log(1);
    let id = reader_of(&log, 1, Interest::Turn("mine".into()));
    log.append([end_of("other", 2)]);
    log.end(id, None);
    let woken = Arc::new(Woken::default());
    let waker = Arc::clone(&woken).into();
    let pending = log.poll_read(id, &Context::from_waker(&waker));
    assert!(pending.is_pending());
    log.commit(2);
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    assert_eq!(read_all(&log, id), ["end None"]);
}

#[test]
fn a_stream_that_is_past_its_end_ends_at_once() {
    let log = log(3);
    let id = reader(&log, 3, false);
    log.append([entry(4)]);
    log.end_after(id, 2, None);
    assert_eq!(read_all(&log, id), ["end None"]);
}

#[test]
fn a_closed_log_shows_what_comes_into_the_store_after_its_closing() {
    let log = log(1);
    let early = reader(&log, 0, false);
    log.append([entry(2)]);
    log.close(Failure::internal());
    let late = reader(&log, 0, false);
    for id in [early, late] {
        assert_eq!(read_all(&log, id), ["1"]);
    }
    log.commit(2);
    for id in [early, late] {
        assert_eq!(read_all(&log, id), ["2", "end Some(Internal)"]);
    }
}

#[test]
fn the_first_failure_of_the_store_is_the_one_that_readers_are_told() {
    let log = log(1);
    let id = reader(&log, 1, false);
    log.append([entry(2)]);
    log.abandon(Failure::new(Reason::ConcurrencyLimited, "too many"));
    log.close(Failure::internal());
    log.abandon(Failure::new(Reason::StoreUnavailable, "it failed before"));
    assert_eq!(read_all(&log, id), ["end Some(ConcurrencyLimited)"]);
    let late = reader(&log, 1, false);
    assert_eq!(read_all(&log, late), ["end Some(ConcurrencyLimited)"]);
}

#[test]
fn a_closed_log_ends_the_readers_that_come_later_too() {
    let log = log(1);
    log.close(Failure::new(Reason::Internal, "internal error"));
    let id = reader(&log, 0, false);
    assert_eq!(read_all(&log, id), ["1", "end Some(Internal)"]);
}

/// Counts how often it was woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn reader_of(log: &Log<&'static str>, after: u64, interest: Interest) -> ReaderId {
    log.attach(Attachment {
        after,
        interest,
        paces: true,
        lenient: false,
        on_gone: Some("gone"),
    })
    .0
}

#[test]
fn a_reader_lets_go_of_its_turn_when_the_turn_ends_though_it_reads_nothing() {
    let log = log(0);
    let lagging = reader_of(&log, 0, Interest::Turn("t".into()));
    (1..=50).for_each(|sequence| add(&log, entry_of("t", sequence)));
    assert!(log.is_full());
    add(&log, end_of("other", 51));
    assert!(log.is_full());
    add(&log, end_of("t", 52));
    assert!(!log.is_full());
    assert_eq!(log.detach(lagging), None);

    let late = reader_of(&log, 51, Interest::Turn("t".into()));
    assert_eq!(log.detach(late), None);
}

#[test]
fn what_follows_for_two_readers_follows_when_the_last_goes() {
    let log = log(0);
    let interest = || Interest::Turn("t".into());
    let (first, second) = (
        reader_of(&log, 0, interest()),
        reader_of(&log, 0, interest()),
    );
    assert_eq!(log.detach(first), None);
    assert_eq!(log.detach(second), Some("gone"));
}

#[test]
fn a_reader_of_an_end_misses_nothing_when_older_events_are_gone() {
    let log = log(0);
    (1..=50).for_each(|sequence| add(&log, entry(sequence)));
    let id = reader_of(&log, 0, Interest::EndOf("t".into()));
    add(&log, end_of("t", 51));
    assert_eq!(read_all(&log, id), ["51"]);
}
