//! A client of a live conversation, which takes it up again wherever it was cut.

use taiwa::v1::{self as pb, converse_request::Frame, event::Payload};
use taiwa_e2e::{Client, call::Conversation};
use tonic::Status;

use crate::{
    listener::listen,
    seen::{self, Seen, resumed_in},
    weather,
};

/// The client, between its streams.
#[derive(Debug)]
pub(crate) struct Talker {
    session_id: String,
    stream: pb::StreamOptions,
    /// What came, over all streams.
    pub(crate) seen: Seen,
    /// Frames whose receipts have not come; they are sent again on the next stream.
    open: Vec<pb::ConverseRequest>,
    /// Frames that were taken; one that waits is given back by a server that stops.
    taken: Vec<pb::ConverseRequest>,
    /// Prompts that were said, and tool calls that were answered.
    prompts: usize,
    answers: usize,
    /// Ends of turns that came, pauses left out.
    ends: usize,
    /// Events that were looked at.
    noted: usize,
}

/// Why a read has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// So many events came.
    Enough,
    /// All that was said is answered.
    Answered,
    /// Another stream has the input.
    TakenOver,
}

impl Talker {
    pub(crate) fn new(session_id: &str, stream: pb::StreamOptions) -> Self {
        Self {
            session_id: session_id.to_owned(),
            stream,
            seen: Seen::default(),
            open: Vec::new(),
            taken: Vec::new(),
            prompts: 0,
            answers: 0,
            ends: 0,
            noted: 0,
        }
    }

    pub(crate) fn session_id(&self) -> &str {
        &self.session_id
    }

    /// Says something, on the next stream.
    pub(crate) fn say(&mut self, prompt: &str) {
        self.prompts += 1;
        let name = format!("prompt-{}", self.prompts);
        self.open
            .push(named(name, Frame::Prompt(prompt.to_owned())));
    }

    /// True when all that was said was taken and answered.
    pub(crate) fn is_answered(&self) -> bool {
        self.open.is_empty() && self.ends == self.prompts
    }

    /// Opens a stream, and sends again what may have been lost with the one before.
    pub(crate) async fn attach(&mut self, client: &mut Client) -> Result<Conversation, Status> {
        let mut conversation = Conversation::try_open(client).await?;
        let setup = pb::SessionSetup {
            session_id: self.session_id.clone(),
            options: (self.seen.cursor() == 0).then(weather::options),
            stream: Some(self.stream),
            resume_after_sequence: Some(self.seen.cursor()).filter(|cursor| *cursor > 0),
            ..pb::SessionSetup::default()
        };
        let resumes = setup.resume_after_sequence.is_some();
        conversation.offer(named(String::new(), Frame::Setup(setup)));
        for frame in &self.open {
            conversation.offer(frame.clone());
        }
        let ready = conversation.next().await?.unwrap();
        let Some(Payload::SessionReady(ready)) = ready.payload else {
            panic!("{ready:#?}");
        };
        assert_eq!(ready.session_id, self.session_id);
        if resumes {
            let resumed = resumed_in(&conversation.next().await?.unwrap());
            assert_eq!(resumed.after_sequence, self.seen.cursor());
            assert_eq!(resumed.missing_events, 0);
            assert_eq!(resumed.last_sequence, ready.last_sequence);
        } else if ready.last_sequence > 0 {
            // The stream before brought its frames though nothing of it came.
            let before = seen::replay(client, &self.session_id).await;
            let before = before.into_iter();
            before
                .take_while(|event| event.sequence <= ready.last_sequence)
                .for_each(|event| self.seen.take(event));
            self.answer(&conversation);
        }
        Ok(conversation)
    }

    /// Reads so many events, or fewer where all is answered before.
    pub(crate) async fn read(
        &mut self,
        conversation: &mut Conversation,
        most: usize,
    ) -> Result<Stop, Status> {
        for _ in 0..most {
            if self.is_answered() {
                return Ok(Stop::Answered);
            }
            let event = conversation.next().await?.expect("the stream stays open");
            match &event.payload {
                Some(Payload::GoAway(it)) => match it.reason() {
                    pb::GoAwayReason::InputTakenOver => return Ok(Stop::TakenOver),
                    pb::GoAwayReason::Shutdown => continue,
                    pb::GoAwayReason::Unspecified => panic!("{event:#?}"),
                },
                _ => self.seen.take(event),
            }
            self.answer(conversation);
        }
        Ok(Stop::Enough)
    }

    /// Half-closes the stream on which all was answered, and reads what still comes.
    pub(crate) async fn finish(&mut self, conversation: Conversation) {
        assert!(self.is_answered());
        let rest = conversation.finish().await;
        rest.end.unwrap();
        rest.events
            .into_iter()
            .for_each(|event| self.seen.take(event));
        self.catch_up();
    }

    /// Reads on by a call that says nothing, and is cut.
    pub(crate) async fn listen(&mut self, client: &mut Client, most: usize) {
        listen(client, &self.session_id, &mut self.seen, most).await;
        self.catch_up();
    }

    /// Looks at what came; gives the answers to it that are to be sent.
    fn catch_up(&mut self) -> Vec<pb::ConverseRequest> {
        let mut answers = Vec::new();
        for event in &self.seen.events()[self.noted..] {
            match &event.payload {
                Some(Payload::FrameAccepted(accepted)) => {
                    let id = &accepted.frame_id;
                    let taken = self.open.extract_if(.., |frame| frame.frame_id == *id);
                    self.taken.extend(taken);
                }
                Some(Payload::TurnEnded(result)) if result.status() != pb::TurnStatus::Paused => {
                    assert_eq!(result.status(), pb::TurnStatus::Completed, "{result:#?}");
                    self.ends += 1;
                }
                Some(Payload::ToolCall(call)) => {
                    self.answers += 1;
                    let name = format!("answer-{}", self.answers);
                    let answer = named(name, Frame::ToolResult(weather::result_of(call)));
                    self.open.push(answer.clone());
                    answers.push(answer);
                }
                Some(Payload::FrameRejected(it)) if is_of_shutdown(it) => {
                    let given_back = self
                        .taken
                        .extract_if(.., |frame| frame.frame_id == it.frame_id);
                    self.open.extend(given_back);
                }
                Some(Payload::FrameRejected(_)) => panic!("{event:#?}"),
                _ => {}
            }
        }
        self.noted = self.seen.events().len();
        answers
    }

    fn answer(&mut self, conversation: &Conversation) {
        for answer in self.catch_up() {
            conversation.offer(answer);
        }
    }
}

fn is_of_shutdown(rejected: &pb::FrameRejected) -> bool {
    let error = rejected.error.as_ref();
    error.is_some_and(|error| error.reason() == pb::ErrorReason::ShuttingDown)
}

fn named(frame_id: String, frame: Frame) -> pb::ConverseRequest {
    pb::ConverseRequest {
        frame_id,
        frame: Some(frame),
    }
}
