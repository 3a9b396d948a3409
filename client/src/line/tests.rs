//! A line on a paused clock, over calls that are scripted.

use std::{collections::VecDeque, future::poll_fn, time::Duration};

use super::*;

/// What becomes of each call: how it is opened, and what it says.
type Script = VecDeque<Result<Vec<Result<pb::Event, Status>>, Status>>;

#[tokio::test(start_paused = true)]
async fn the_longest_waits_are_kept_to_and_then_it_gives_up() {
    let mut line = line(Scripted::default(), None);
    let start = Instant::now();

    let error = ended(&mut line).await;

    // 1 + 2 + 4 + 4 s are the bounds of four waits.
    assert!(start.elapsed() <= Duration::from_secs(11));
    assert_eq!(line.dial.dialed, 5);
    assert!(matches!(error, Error::Server(_)), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_comes_before_the_next_attempt_is_not_waited_for() {
    let mut line = line(Scripted::default(), Some(Duration::ZERO));

    ended(&mut line).await;

    assert_eq!(line.dial.dialed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_stays_silent_ends_soon_after_its_deadline() {
    let allowed = Duration::from_secs(7);
    let silent = Scripted {
        script: Script::from([Ok(Vec::new())]),
        stays_open: true,
        ..Scripted::default()
    };
    let mut line = line(silent, Some(allowed));
    let start = Instant::now();

    let error = ended(&mut line).await;

    assert!(matches!(error, Error::DeadlineExceeded { .. }), "{error:?}");
    assert_eq!(start.elapsed(), allowed + LAST_WORD);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_stood_for_a_while_begins_the_count_anew() {
    let calls = 20;
    let steady = || Ok(vec![Err(Status::unavailable("idle for too long"))]);
    let slow = Scripted {
        script: (0..calls).map(|_| steady()).collect(),
        pause: Duration::from_secs(60),
        ..Scripted::default()
    };
    let mut line = line(slow, None);

    ended(&mut line).await;

    // The last of them was lost after a while, too, and has its attempts after it.
    assert_eq!(line.dial.dialed, calls + 4);
}

#[derive(Default)]
struct Scripted {
    script: Script,
    dialed: usize,
    /// How long a call waits before what it says.
    pause: Duration,
    stays_open: bool,
}

impl Dial for Scripted {
    type Events = Pin<Box<dyn Stream<Item = Result<pb::Event, Status>> + Send>>;

    fn dial(&mut self, _seen: &Seen) -> Dialing<Self::Events> {
        self.dialed += 1;
        let refused = Err(Status::unavailable("nobody here"));
        let opened = self.script.pop_front().unwrap_or(refused);
        let (pause, stays_open) = (self.pause, self.stays_open);
        Box::pin(async move {
            let said = opened?;
            let mut wait = Box::pin(sleep(pause));
            let mut said = said.into_iter();
            let events = futures_util::stream::poll_fn(move |cx| {
                if !wait.is_elapsed() {
                    ready!(wait.as_mut().poll(cx));
                }
                match said.next() {
                    None if stays_open => Poll::Pending,
                    item => Poll::Ready(item),
                }
            });
            Ok(Box::pin(events) as Self::Events)
        })
    }

    fn take(&mut self, event: Event, _seen: &mut Seen) -> Option<Event> {
        Some(event)
    }

    fn is_complete(&self, _end: &End, _seen: &Seen) -> bool {
        false
    }

    fn is_resumable(&self) -> bool {
        true
    }

    fn turns_to_another_way(&mut self, _status: &Status) -> bool {
        false
    }
}

fn line(dial: Scripted, allowed: Option<Duration>) -> Line<Scripted> {
    let second = Duration::from_secs(1);
    let reconnect = Reconnect::default().attempts(4).delays(second, 4 * second);
    let terms = Terms {
        endpoint: "http://a".to_owned(),
        deadline: allowed.map(|allowed| Deadline {
            at: Instant::now() + allowed,
            allowed,
        }),
        observer: Observer::default(),
        reconnect,
    };
    Line::new(dial, terms, Seen::default())
}

async fn ended(line: &mut Line<Scripted>) -> Error {
    loop {
        match poll_fn(|cx| line.poll_event(cx)).await {
            Some(Ok(_)) => {}
            Some(Err(stop)) => return line.error(stop),
            None => panic!("it tells why it ended"),
        }
    }
}
