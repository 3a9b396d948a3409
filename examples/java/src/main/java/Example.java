import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import java.net.URI;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import taiwa.v1.AgentServiceGrpc;
import taiwa.v1.AgentServiceGrpc.AgentServiceBlockingV2Stub;
import taiwa.v1.DisconnectPolicy;
import taiwa.v1.Event;
import taiwa.v1.InvokeRequest;
import taiwa.v1.ResumeStreamRequest;
import taiwa.v1.StreamOptions;
import taiwa.v1.TurnOptions;

/** Makes the calls that ../README.md lists, and prints what comes of them. */
public class Example {
  public static void main(String[] arguments) throws Exception {
    var endpoint = System.getenv().getOrDefault("TAIWA_ENDPOINT", "http://127.0.0.1:50051");
    var target = URI.create(endpoint).getAuthority();
    var channel = Grpc.newChannelBuilder(target, InsecureChannelCredentials.create())
        .intercept(new Deadlines())
        // A peer that went without a word is noticed by its silence.
        .keepAliveTime(30, TimeUnit.SECONDS).build();
    try {
      run(AgentServiceGrpc.newBlockingV2Stub(channel));
    } finally {
      channel.shutdown();
      if (!channel.awaitTermination(5, TimeUnit.SECONDS)) {
        channel.shutdownNow();
      }
    }
  }

  static void run(AgentServiceBlockingV2Stub taiwa) throws Exception {
    System.out.println("== Invoke");
    System.out.println(taiwa.invoke(prompt("What is a stream?").build()).getText());
    System.out.println("== InvokeStream");
    var answer = taiwa.invokeStream(prompt("What is a stream?").build());
    while (answer.hasNext()) {
      Show.event(answer.read());
    }
    System.out.println("== Converse");
    Conversation.hold(taiwa);
    System.out.println("== Errors");
    var options = TurnOptions.newBuilder().setMaxTokens(-1);
    Show.error(() -> taiwa.invoke(prompt("Hi!").setOptions(options).build()));
    var hasty = taiwa.withDeadlineAfter(Duration.ofMillis(500));
    // Told by this side or by the server, whichever is first; the code is the same.
    Show.code(() -> hasty.invoke(prompt("Think for ever.").build()));
    System.out.println("== ResumeStream");
    resume(taiwa);
  }

  /** Leaves a turn after its sixth event, and takes it up again from there. */
  static void resume(AgentServiceBlockingV2Stub taiwa) throws Exception {
    var stream = StreamOptions.newBuilder()
        .setOnDisconnect(DisconnectPolicy.DISCONNECT_POLICY_CONTINUE);
    var request = prompt("Tell me of rivers.")
        .setRequestId(UUID.randomUUID().toString()).setStream(stream).build();
    var cursor = ResumeStreamRequest.newBuilder();
    List<String> seen = new ArrayList<>();
    try (var turn = new Turn(taiwa, request, cursor)) {
      while (cursor.getAfterSequence() < 6) {
        show(turn.read().orElseThrow(), seen);
      }
    }
    seen.add("cut");
    try (var turn = new Turn(taiwa, request, cursor)) {
      for (var event = turn.read(); event.isPresent(); event = turn.read()) {
        show(event.get(), seen);
      }
    }
    System.out.println(String.join(" ", seen));
  }

  static void show(Event event, List<String> seen) {
    if (event.getSequence() > 0) {
      Show.event(event);
      seen.add(Long.toString(event.getSequence()));
    }
  }

  static InvokeRequest.Builder prompt(String text) {
    return InvokeRequest.newBuilder().setPrompt(text);
  }
}
