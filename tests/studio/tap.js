// Runs before the page: whatever it connects to its loudspeakers is recorded as well, sample by sample.
//
// By MediaRecorder, because a recorder of its own in an AudioWorklet would be a script that the page's
// Content-Security-Policy forbids, and a ScriptProcessorNode loses samples when the page is busy.
window.heard = () => Promise.resolve(new Blob());
const connect = AudioNode.prototype.connect;

function record(node) {
  const branch = node.context.createMediaStreamDestination();
  branch.channelCount = 1;
  const floor = node.context.createConstantSource(); // silence is recorded only while something is connected
  floor.offset.value = 0;
  connect.call(floor, branch);
  floor.start();
  connect.call(node, branch);
  const recorder = new MediaRecorder(branch.stream, { mimeType: "audio/webm;codecs=pcm" });
  const made = new Promise((resolve) => (recorder.ondataavailable = ({ data }) => resolve(data)));
  recorder.start();
  window.heard = () => (recorder.stop(), made);
}

AudioNode.prototype.connect = function (target, ...rest) {
  if (target instanceof AudioDestinationNode && target.context instanceof AudioContext) record(this);
  return connect.call(this, target, ...rest);
};
