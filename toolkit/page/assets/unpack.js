// The counterpart of toolkit/page/packing.py.

const KINDS = { Float32Array, Uint16Array, Int16Array, Uint8Array };

// Returns the header of the pack that an element carries, and a function from what the header says
// of an array to the array.
async function unpack(id) {
  const letters = atob(byId(id).textContent);
  const packed = new Uint8Array(letters.length);
  for (let i = 0; i < packed.length; i++) packed[i] = letters.charCodeAt(i);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const buffer = await new Response(stream).arrayBuffer();
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const array = ({ kind, at, n }) => new KINDS[kind](buffer, 4 + length + at, n);
  return { header, array };
}
