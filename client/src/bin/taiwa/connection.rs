//! Says on the side that the connection was lost, and that it stands again.

use taiwa_client::{Connection, pb};
use tokio::sync::mpsc;

/// Remarks that may wait to be shown; those beyond would tell nothing new.
const WAITING: usize = 16;

/// Makes what a call is to tell, and the remarks that come of it.
pub(crate) fn watch() -> (
    impl Fn(Connection) + Send + Sync + 'static,
    mpsc::Receiver<String>,
) {
    let (tx, rx) = mpsc::channel(WAITING);
    let observe = move |connection: Connection| {
        if let Some(remark) = remark(&connection) {
            // Whoever shows none has ended, or has enough to show.
            let _ = tx.try_send(remark);
        }
    };
    (observe, rx)
}

/// The line for the user; none where another has said it.
fn remark(connection: &Connection) -> Option<String> {
    match connection {
        Connection::Reconnecting { attempt: 1, .. } => {
            Some("the connection was lost; trying to resume".to_owned())
        }
        Connection::Resumed { missing_events: 0 } => Some("resumed".to_owned()),
        Connection::Resumed { missing_events } => Some(format!(
            "resumed; {missing_events} events are gone for good"
        )),
        // Attempts after the first, and news that this version does not know.
        Connection::Reconnecting { .. } | _ => None,
    }
}

/// What a server's notice means for the user.
pub(crate) fn explain(go_away: &pb::GoAway) -> &'static str {
    match go_away.reason() {
        pb::GoAwayReason::Shutdown | pb::GoAwayReason::Unspecified => {
            "the server is about to stop; the conversation goes on when it, or another, is there"
        }
        pb::GoAwayReason::InputTakenOver => {
            "another chat took over this conversation; what is said there is shown here"
        }
    }
}
