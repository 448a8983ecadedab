// The record inside a PNG made by occlusionformer: text chunk "occlusionformer", JSON.

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const KEYWORD = "occlusionformer\0";

export const isPng = (bytes) => SIGNATURE.every((byte, place) => bytes[place] === byte);

// The layout and settings a picture was made with; null for a picture that does not say.
export function provenanceOf(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = new TextDecoder("latin1");
  for (let at = 8; at + 12 <= bytes.length;) {
    const length = view.getUint32(at);
    const kind = text.decode(bytes.subarray(at + 4, at + 8));
    if (kind === "tEXt") {
      const content = text.decode(bytes.subarray(at + 8, at + 8 + length));
      if (content.startsWith(KEYWORD)) return JSON.parse(content.slice(KEYWORD.length));
    }
    at += length + 12;
  }
  return null;
}
