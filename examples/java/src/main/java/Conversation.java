import taiwa.v1.AgentServiceGrpc.AgentServiceBlockingV2Stub;
import taiwa.v1.ConverseRequest;
import taiwa.v1.InputPolicy;
import taiwa.v1.SessionSetup;
import taiwa.v1.ToolResult;
import taiwa.v1.ToolSpec;
import taiwa.v1.TurnOptions;
import taiwa.v1.TurnStatus;

/** Interrupts an answer by another question, whose answer needs a tool of ours. */
class Conversation {
  static final String SCHEMA = """
      {"type": "object", "properties": {"city": {"type": "string"}}}""";

  static void hold(AgentServiceBlockingV2Stub taiwa) throws Exception {
    var weather = ToolSpec.newBuilder()
        .setName("get_weather").setDescription("Tells the weather.").setInputSchemaJson(SCHEMA);
    var setup = SessionSetup.newBuilder()
        .setInputPolicy(InputPolicy.INPUT_POLICY_INTERRUPT)
        .setOptions(TurnOptions.newBuilder().addClientTools(weather));
    var call = taiwa.converse();
    // A call that has ended takes no frame, which write tells by `false`; why it ended, read tells.
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
}
