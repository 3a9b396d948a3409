import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import io.grpc.StatusException;
import io.grpc.protobuf.StatusProto;
import java.util.concurrent.Callable;
import taiwa.v1.Event;

/** Prints events and errors. */
class Show {
  /** Prints text as it comes; there are more kinds of events, and there may be new ones. */
  static void event(Event event) {
    switch (event.getPayloadCase()) {
      case TEXT_DELTA -> System.out.print(event.getTextDelta().getText());
      case TOOL_CALL -> {
        var call = event.getToolCall();
        System.out.printf("[%s %s]%n", call.getToolName(), call.getInputJson());
      }
      case TURN_ENDED -> System.out.printf("%n[%s]%n", event.getTurnEnded().getStatus());
      default -> {}
    }
    System.out.flush();
  }

  /** Prints the code of a call that fails. */
  static void code(Callable<?> call) throws Exception {
    System.out.println(failure(call).getStatus().getCode());
  }

  /** Prints the code, the reason and the fields at fault, which programs branch on. */
  static void error(Callable<?> call) throws Exception {
    var error = failure(call);
    System.out.print(error.getStatus().getCode());
    for (var detail : StatusProto.fromThrowable(error).getDetailsList()) {
      if (detail.is(ErrorInfo.class)) {
        System.out.print(" " + detail.unpack(ErrorInfo.class).getReason());
      } else if (detail.is(BadRequest.class)) {
        for (var violation : detail.unpack(BadRequest.class).getFieldViolationsList()) {
          System.out.print(" " + violation.getField());
        }
      }
    }
    System.out.println();
  }

  private static StatusException failure(Callable<?> call) throws Exception {
    try {
      call.call();
    } catch (StatusException error) {
      return error;
    }
    throw new IllegalStateException("a call that was to fail did not");
  }
}
