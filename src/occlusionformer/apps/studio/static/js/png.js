// The record inside a PNG made by occlusionformer, wherever a program that saved the picture again has put it.
// The twin of generation/png_text.py: both are tested with one table of files, and say the same of each.

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const KEYWORD = "occlusionformer";
const MOST_CHUNKS = 2 ** 18;
const LONGEST_CHUNK = 2 ** 31 - 1;
export const LONGEST_RECORD = 32 * 2 ** 20; // bytes, unpacked

const OTHERS = [
  [[0xff, 0xd8, 0xff], "a JPEG picture"],
  [[0x47, 0x49, 0x46, 0x38], "a GIF picture"],
  [[0x52, 0x49, 0x46, 0x46], "a WebP picture or another RIFF file"],
];

const startsWith = (bytes, start) => start.every((byte, place) => bytes[place] === byte);

export const isPng = (bytes) => startsWith(bytes, SIGNATURE);

// The layout and settings a picture was made with; null for a picture that does not say.
export async function provenanceOf(bytes) {
  const text = await recordText(bytes);
  if (text === null) return null;
  try {
    return JSON.parse(text);
  } catch {
    throw new Error("expected a record in JSON, got something else");
  }
}

// The text of the record; null for a picture without one. Throws for a file that is no PNG, is cut off, or has a
// damaged or a second record.
export async function recordText(bytes, most = LONGEST_RECORD) {
  if (!isPng(bytes)) {
    const kind = OTHERS.find(([start]) => startsWith(bytes, start))?.[1] ?? "something else";
    throw new Error(`expected a PNG picture, got ${kind}`);
  }
  const found = new Set();
  for (const chunk of chunks(bytes)) {
    const text = await textOf(chunk, most);
    if (text !== null) found.add(text);
  }
  if (found.size > 1) throw new Error(`expected one record, got ${found.size} that differ`);
  return found.size ? [...found][0] : null;
}

function* chunks(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let start = SIGNATURE.length;
  for (let number = 0; number < MOST_CHUNKS; number += 1) {
    if (start + 8 > bytes.length) {
      throw new Error(`expected a whole PNG, got one that ends at byte ${bytes.length}, before IEND`);
    }
    const length = view.getUint32(start);
    const kind = latin1(bytes.subarray(start + 4, start + 8));
    if (length > LONGEST_CHUNK || !/^[A-Za-z]{4}$/.test(kind) || (number === 0 && kind !== "IHDR")) {
      throw new Error(`expected a whole PNG, got a damaged one: no chunk begins at byte ${start}`);
    }
    const end = start + 8 + length;
    const where = `chunk ${kind} at byte ${start}`;
    const content = bytes.subarray(start + 8, end);
    yield { kind, where, length, content, typed: bytes.subarray(start + 4, end), end, bytes };
    if (end + 4 > bytes.length) throw cutOff(where);
    if (kind === "IEND") return;
    start = end + 4;
  }
  throw new Error(`expected a PNG of at most ${MOST_CHUNKS} chunks, got more`);
}

const cutOff = (where) => new Error(`expected a whole PNG, got one that is cut off in ${where}`);
const tooLong = (most) => new Error(`expected a record of at most ${most / 2 ** 20} MB, got more`);

async function textOf({ kind, where, length, content, typed, end, bytes }, most) {
  if (!["tEXt", "zTXt", "iTXt"].includes(kind)) return null;
  const start = KEYWORD.length + 1;
  if (latin1(content.subarray(0, start)) !== `${KEYWORD}\0`) return null;
  if (length > most) throw tooLong(most);
  if (end + 4 > bytes.length) throw cutOff(where);
  if (new DataView(bytes.buffer, bytes.byteOffset + end, 4).getUint32(0) !== checksum(typed)) {
    throw new Error(`expected a whole PNG, got one with a wrong checksum in ${where}`);
  }
  const rest = content.subarray(start);
  if (kind === "tEXt") return latin1(rest);
  if (kind === "zTXt") return latin1(await unpacked(rest[0], rest.subarray(1), most, where));
  const language = rest.indexOf(0, 2);
  const translated = language < 0 ? -1 : rest.indexOf(0, language + 1);
  if (!(rest[0] === 0 || rest[0] === 1) || translated < 0) {
    throw new Error(`expected a record, got a damaged one in ${where}`);
  }
  const text = rest.subarray(translated + 1);
  const utf8 = rest[0] ? await unpacked(rest[1], text, most, where) : text;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(utf8);
  } catch {
    throw new Error(`expected a record in UTF-8, got other bytes in ${where}`);
  }
}

// What zlib packed, unpacked no further than allowed.
async function unpacked(method, content, most, where) {
  const damaged = new Error(`expected a record packed by zlib, got a damaged one in ${where}`);
  if (method !== 0) throw damaged;
  const reader = new Blob([content]).stream().pipeThrough(new DecompressionStream("deflate")).getReader();
  const parts = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read().catch(() => Promise.reject(damaged));
    if (done) break;
    size += value.length;
    if (size > most) {
      reader.cancel().catch(() => {});
      throw tooLong(most);
    }
    parts.push(value);
  }
  const whole = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

// TextDecoder's "latin1" is Windows-1252.
function latin1(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return text;
}

const REMAINDERS = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

// CRC-32, as every chunk ends with.
function checksum(bytes) {
  let value = 0xffffffff;
  for (const byte of bytes) value = REMAINDERS[(value ^ byte) & 0xff] ^ (value >>> 8);
  return (value ^ 0xffffffff) >>> 0;
}
