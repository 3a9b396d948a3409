import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import java.time.Duration;
import taiwa.v1.*;
import taiwa.v1.AgentServiceGrpc.AgentServiceBlockingV2Stub;

/** Makes the calls that ../README.md lists, and prints what comes of them. */
public class Example {
  static final String SCHEMA = """
      {"type": "object", "properties": {"city": {"type": "string"}}}""";

  public static void main(String[] arguments) throws Exception {
    var endpoint = System.getenv().getOrDefault("TAIWA_ENDPOINT", "127.0.0.1:50051");
    var channel = Grpc.newChannelBuilder(endpoint, InsecureChannelCredentials.create()).build();
    var taiwa = AgentServiceGrpc.newBlockingV2Stub(channel);
    System.out.println("== Invoke");
    System.out.println(taiwa.invoke(prompt("What is a stream?").build()).getText());
    System.out.println("== InvokeStream");
    var answer = taiwa.invokeStream(prompt("What is a stream?").build());
    while (answer.hasNext()) {
      Show.event(answer.read());
    }
    System.out.println("== Converse");
    converse(taiwa);
    System.out.println("== Errors");
    var options = TurnOptions.newBuilder().setMaxTokens(-1);
    Show.error(() -> taiwa.invoke(prompt("Hi!").setOptions(options).build()));
    var hasty = taiwa.withDeadlineAfter(Duration.ofMillis(500));
    // Told by this side or by the server, whichever is first; the code is the same.
    Show.code(() -> hasty.invoke(prompt("Think for ever.").build()));
    System.out.println("== ResumeStream");
    resume(taiwa);
    channel.shutdown();
  }

  static void converse(AgentServiceBlockingV2Stub taiwa) throws Exception {
    var weather = ToolSpec.newBuilder()
        .setName("get_weather").setDescription("Tells the weather.").setInputSchemaJson(SCHEMA);
    var setup = SessionSetup.newBuilder()
        .setInputPolicy(InputPolicy.INPUT_POLICY_INTERRUPT)
        .setOptions(TurnOptions.newBuilder().addClientTools(weather));
    var call = taiwa.converse();
    call.write(ConverseRequest.newBuilder().setSetup(setup).build());
    call.write(ConverseRequest.newBuilder().setPrompt("Tell me of the tides.").build());
    var pieces = 0;
    while (call.hasNext()) {
      var event = call.read();
      Show.event(event);
      if (event.hasTextDelta() && ++pieces == 3) {
        // In the middle of the answer: what is said now interrupts it.
        var prompt = ConverseRequest.newBuilder().setPrompt("Stop! What is the weather in Oslo?");
        call.write(prompt.build());
      } else if (event.hasToolCall()) {
        var result = ToolResult.newBuilder()
            .setToolCallId(event.getToolCall().getToolCallId()).setText("7 degrees");
        call.write(ConverseRequest.newBuilder().setToolResult(result).build());
      } else if (event.hasTurnEnded()
          && event.getTurnEnded().getStatus() != TurnStatus.TURN_STATUS_INTERRUPTED) {
        call.halfClose();
      }
    }
  }

  static void resume(AgentServiceBlockingV2Stub taiwa) throws Exception {
    var stream = StreamOptions.newBuilder()
        .setOnDisconnect(DisconnectPolicy.DISCONNECT_POLICY_CONTINUE);
    var call = taiwa.invokeStream(prompt("Tell me of rivers.").setStream(stream).build());
    var cursor = ResumeStreamRequest.newBuilder();
    var seen = new StringBuilder();
    while (cursor.getAfterSequence() < 6) {
      var event = call.read();
      Show.event(event);
      seen.append(event.getSequence()).append(' ');
      cursor.setTurnId(event.getTurnId()).setAfterSequence(event.getSequence());
      if (event.hasTurnStarted()) {
        cursor.setSessionId(event.getTurnStarted().getSessionId());
      }
    }
    call.cancel("cut", null);
    seen.append("cut");
    var rest = taiwa.resumeStream(cursor.build());
    while (rest.hasNext()) {
      var event = rest.read();
      Show.event(event);
      // Events of the stream alone, such as stream_resumed, have no number.
      if (event.getSequence() > 0) {
        seen.append(' ').append(event.getSequence());
      }
    }
    System.out.println(seen);
  }

  static InvokeRequest.Builder prompt(String text) {
    return InvokeRequest.newBuilder().setPrompt(text);
  }
}
