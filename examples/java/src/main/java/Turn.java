import io.grpc.Status;
import io.grpc.StatusException;
import io.grpc.stub.BlockingClientCall;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.ThreadLocalRandom;
import taiwa.v1.AgentServiceGrpc.AgentServiceBlockingV2Stub;
import taiwa.v1.Event;
import taiwa.v1.InvokeRequest;
import taiwa.v1.ResumeStreamRequest;

/** The events of a turn up to its end, each once, over as many connections as that takes. */
class Turn implements AutoCloseable {
  // How often in a row a connection may be lost before another event comes, and the bounds of the
  // pauses; together they are about 20 s.
  static final int MOST_FAILURES = 8;
  static final Duration SHORTEST_PAUSE = Duration.ofMillis(200);
  static final Duration LONGEST_PAUSE = Duration.ofSeconds(5);

  private final AgentServiceBlockingV2Stub taiwa;
  private final InvokeRequest request;
  private final ResumeStreamRequest.Builder cursor;
  private BlockingClientCall<?, Event> call;
  private int failures;
  private boolean ended;

  /**
   * The cursor moves with the events: with it another turn object, even of another process, goes on
   * where this one was left. The request has a request_id, so that asking again is not asking twice,
   * and continues when it is disconnected.
   */
  Turn(AgentServiceBlockingV2Stub taiwa, InvokeRequest request, ResumeStreamRequest.Builder cursor) {
    this.taiwa = taiwa;
    this.request = request;
    this.cursor = cursor;
  }

  /** The next event; none after the turn's end. */
  Optional<Event> read() throws InterruptedException, StatusException {
    while (!ended) {
      try {
        if (call == null) {
          // Until the turn is known it is asked for, and then for what comes after the cursor.
          call = cursor.getSessionId().isEmpty()
              ? taiwa.invokeStream(request) : taiwa.resumeStream(cursor.build());
        }
        var event = call.read();
        if (event == null) {
          throw Status.DATA_LOSS.withDescription("the stream ended before its turn").asException();
        }
        follow(event);
        return Optional.of(event);
      } catch (StatusException error) {
        if (error.getStatus().getCode() != Status.Code.UNAVAILABLE || failures == MOST_FAILURES) {
          throw error;
        }
        call = null;
        pause();
      }
    }
    return Optional.empty();
  }

  private void follow(Event event) {
    if (event.getSequence() > 0) { // Events of the stream alone, such as stream_resumed, have none.
      failures = 0;
      cursor.setTurnId(event.getTurnId()).setAfterSequence(event.getSequence());
    }
    if (event.hasTurnStarted()) {
      cursor.setSessionId(event.getTurnStarted().getSessionId());
    }
    // A turn that failed says why in its end, so the status behind it is not needed.
    ended = event.hasTurnEnded();
  }

  private void pause() throws InterruptedException {
    var most = Math.min(SHORTEST_PAUSE.toMillis() << failures++, LONGEST_PAUSE.toMillis());
    Thread.sleep(ThreadLocalRandom.current().nextLong(most / 2, most));
  }

  @Override
  public void close() {
    if (call != null) {
      call.cancel("nobody reads on", null);
    }
  }
}
