//! The same agent asked three ways.
#![expect(clippy::print_stdout, reason = "an example shows what comes")]

use taiwa_client::{Client, Error, Request, Setup};

#[tokio::main]
async fn main() -> Result<(), Error> {
    // `taiwa-server --offline` listens here.
    let client = Client::connect("http://127.0.0.1:50051").await?;

    // The whole answer at once.
    let reply = client.invoke("Why is the sky blue?").await?;
    println!("{}", reply.text);

    // The same session, event by event; dropping the turn cancels it.
    let request = Request::new("And at sunset?").session(&reply.result.session_id);
    let mut turn = client.stream(request).await?;
    while let Some(event) = turn.next().await? {
        if let Some(text) = event.text() {
            print!("{text}");
        }
    }
    let usage = turn.finish().await?.usage.unwrap_or_default();
    println!("\n{} tokens", usage.total_tokens);

    // A conversation: speak and listen at once.
    let mut conversation = client.converse(Setup::default()).await?;
    conversation.send_prompt("Tell me a long story.").await?;
    let mut story = String::new();
    while let Some(event) = conversation.next().await? {
        if let Some(text) = event.text() {
            let was_short = story.len() <= 100;
            story.push_str(text);
            if was_short && story.len() > 100 {
                conversation.interrupt().await?;
            }
        } else if let Some(result) = event.turn_ended() {
            println!("{story} … {:?}", result.stop_reason());
            conversation.finish();
        }
    }
    Ok(())
}
