//! Any frames over any connections reach a small model of the server whole, once and in order.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn every_frame_acts_once_and_is_receipted_once(steps in prop::collection::vec(step(), 0..80)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
        }
        world.settle();

        prop_assert_eq!(&world.server.taken, &world.whole_messages());
        prop_assert_eq!(&world.told, &world.pushed);
        prop_assert_eq!(world.refusals, 0);
        prop_assert!(world.frames.entries.is_empty());
        prop_assert_eq!(world.frames.bytes, 0);
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// A message, or a part of one.
    Push { more_follows: bool },
    /// The connection sends a frame.
    Send,
    /// The server takes a frame.
    Serve,
    /// The client reads an event.
    Read,
    /// The connection is lost with what is under way on it.
    Cut,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => any::<bool>().prop_map(|more_follows| Step::Push { more_follows }),
        4 => Just(Step::Send),
        4 => Just(Step::Serve),
        4 => Just(Step::Read),
        1 => Just(Step::Cut),
    ]
}

struct World {
    frames: Frames,
    connection: u64,
    wire: VecDeque<pb::ConverseRequest>,
    server: Server,
    pushed: Vec<String>,
    /// Where messages end among what was pushed.
    ends: Vec<usize>,
    told: Vec<String>,
    refusals: usize,
}

/// Takes each name once, gathers parts, and drops them with the connection that brought them.
#[derive(Default)]
struct Server {
    known: Vec<String>,
    gathered: Vec<String>,
    taken: Vec<Vec<String>>,
    events: VecDeque<Told>,
}

enum Told {
    Accepted { name: String, duplicate: bool },
    Dropped { name: String },
}

impl World {
    fn new() -> Self {
        let mut frames = Frames::new(true);
        Self {
            connection: frames.connect(),
            frames,
            wire: VecDeque::new(),
            server: Server::default(),
            pushed: Vec::new(),
            ends: Vec::new(),
            told: Vec::new(),
            refusals: 0,
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Push { more_follows } => self.push(more_follows),
            Step::Send => {
                if let Next::Frame(frame) = self.frames.next(self.connection) {
                    self.wire.push_back(*frame);
                }
            }
            Step::Serve => {
                if let Some(frame) = self.wire.pop_front() {
                    self.server.take(frame);
                }
            }
            Step::Read => self.read(),
            Step::Cut => {
                self.wire.clear();
                // It is seen when the next stream takes the input over.
                self.server.lose_stream();
                self.connection = self.frames.connect();
            }
        }
    }

    fn push(&mut self, more_follows: bool) {
        let name = self.pushed.len().to_string();
        let input = pb::UserInput {
            more_follows,
            ..Default::default()
        };
        let frame = pb::ConverseRequest {
            frame_id: name.clone(),
            frame: Some(Frame::Input(input)),
        };
        self.frames.push(frame).unwrap();
        self.pushed.push(name);
        if !more_follows {
            self.ends.push(self.pushed.len());
        }
    }

    fn read(&mut self) {
        match self.server.events.pop_front() {
            None => {}
            Some(Told::Accepted { name, duplicate }) => {
                let receipt = pb::FrameAccepted {
                    frame_id: name.clone(),
                    duplicate,
                    ..Default::default()
                };
                if self.frames.accepted(&receipt) {
                    self.told.push(name);
                }
            }
            Some(Told::Dropped { name }) => {
                let refusal = pb::FrameRejected {
                    frame_id: name,
                    error: Some(pb::TurnError {
                        reason: pb::ErrorReason::FrameOutOfOrder.into(),
                        ..Default::default()
                    }),
                };
                self.refusals += usize::from(self.frames.rejected(&refusal));
            }
        }
    }

    /// Ends the last message, and lets everything arrive.
    fn settle(&mut self) {
        self.push(false);
        while let Next::Frame(frame) = self.frames.next(self.connection) {
            self.wire.push_back(*frame);
        }
        while let Some(frame) = self.wire.pop_front() {
            self.server.take(frame);
        }
        while !self.server.events.is_empty() {
            self.read();
        }
        self.told.sort_by_key(|name| name.parse::<usize>().unwrap());
    }

    fn whole_messages(&self) -> Vec<Vec<String>> {
        let mut start = 0;
        let mut message = |&end: &usize| {
            let message = self.pushed[start..end].to_vec();
            start = end;
            message
        };
        self.ends.iter().map(&mut message).collect()
    }
}

impl Server {
    fn take(&mut self, frame: pb::ConverseRequest) {
        let Some(Frame::Input(input)) = frame.frame else {
            panic!("only inputs are sent");
        };
        let name = frame.frame_id;
        let duplicate = self.known.contains(&name);
        if !duplicate {
            self.known.push(name.clone());
            self.gathered.push(name.clone());
            if !input.more_follows {
                self.taken.push(std::mem::take(&mut self.gathered));
            }
        }
        self.events.push_back(Told::Accepted { name, duplicate });
    }

    fn lose_stream(&mut self) {
        let dropped = std::mem::take(&mut self.gathered);
        self.known.retain(|name| !dropped.contains(name));
        let last = dropped.last().cloned();
        self.events.extend(last.map(|name| Told::Dropped { name }));
    }
}
