import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.MethodDescriptor;
import java.time.Duration;

/** Gives a deadline to calls that have none; streams may last. */
class Deadlines implements ClientInterceptor {
  static final Duration LONGEST_CALL = Duration.ofMinutes(1);

  @Override
  public <Q, A> ClientCall<Q, A> interceptCall(
      MethodDescriptor<Q, A> method, CallOptions options, Channel next) {
    var lasts = method.getType() != MethodDescriptor.MethodType.UNARY;
    if (lasts || options.getDeadline() != null) {
      return next.newCall(method, options);
    }
    return next.newCall(method, options.withDeadlineAfter(LONGEST_CALL));
  }
}
