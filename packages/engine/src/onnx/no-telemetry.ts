/**
 * To be imported before `onnxruntime-node`. ONNX Runtime's official builds for Linux tell their maker over HTTPS how they are used, and leave a session file and a log for every process in the
 * temporary folder. Its library asks for this variable once, when it starts.
 */
process.env.ORT_DISABLE_TELEMETRY ??= '1';
