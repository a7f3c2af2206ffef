// A SentencePiece tokenizer of byte-pair encoding with byte fall-back, as `arae train` makes it: no piece goes across a
// blank, so that each word is encoded alone.

const BLANK = "\u2581", END_ID = 3;
const NORMAL = 1, UNKNOWN = 2, CONTROL = 3, USER_DEFINED = 4, BYTE = 6;

// Reads the fields of a protocol buffer: [number, value] with a number, or the bytes, as the value.
function* protoFields(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let at = 0;
  const varint = () => {
    let value = 0, factor = 1, byte;
    do {
      byte = bytes[at++];
      value += (byte & 127) * factor;
      factor *= 128;
    } while (byte & 128);
    return value;
  };
  while (at < bytes.length) {
    const key = varint(), kind = key & 7;
    if (kind === 0) yield [key >>> 3, varint()];
    else if (kind === 5) { yield [key >>> 3, view.getFloat32(at, true)]; at += 4; }
    else if (kind === 1) { yield [key >>> 3, view.getFloat64(at, true)]; at += 8; }
    else if (kind === 2) { const length = varint(); yield [key >>> 3, bytes.subarray(at, at + length)]; at += length; }
    else throw new Error("the tokenizer is damaged");
  }
}

class Tokenizer {
  constructor(model) {
    this.texts = [];
    this.types = [];
    this.scores = new Map();
    this.whole = [];
    this.words = new Map();
    for (const [field, content] of protoFields(model)) if (field === 1) this.add(content);
    this.firstByte = this.types.indexOf(BYTE);
    this.whole.sort((one, other) => other[0].length - one[0].length);
  }

  add(content) {
    let piece = "", score = 0, type = NORMAL;
    for (const [field, value] of protoFields(content)) {
      if (field === 1) piece = new TextDecoder().decode(value);
      else if (field === 2) score = value;
      else if (field === 3) type = value;
    }
    const id = this.texts.push(piece) - 1;
    this.types.push(type);
    if (type === USER_DEFINED) this.whole.push([piece, id]);
    if (type === NORMAL || type === USER_DEFINED) this.scores.set(piece, [score, id]);
  }

  // The ids of a line, without begin and end ids.
  encode(line) {
    return line.split(/[ \u2581]+/).filter(Boolean).flatMap((word) => this.encodeWord(word));
  }

  encodeWord(word) {
    let found = this.words.get(word);
    if (!found) {
      found = this.merge(BLANK + word);
      if (this.words.size > 20000) this.words.clear();
      this.words.set(word, found);
    }
    return found;
  }

  // Merges the pair of neighbours that was learned first, until there is none.
  merge(text) {
    const parts = [];
    for (let at = 0; at < text.length;) {
      const whole = this.whole.find(([piece]) => text.startsWith(piece, at));
      const part = whole ? whole[0] : String.fromCodePoint(text.codePointAt(at));
      parts.push({ text: part, id: whole && whole[1] });
      at += part.length;
    }
    for (;;) {
      let best = -Infinity, place = -1;
      for (let i = 0; i + 1 < parts.length; i++) {
        if (parts[i].id !== undefined || parts[i + 1].id !== undefined) continue;
        const merged = this.scores.get(parts[i].text + parts[i + 1].text);
        if (merged && merged[0] > best) { best = merged[0]; place = i; }
      }
      if (place < 0) break;
      parts.splice(place, 2, { text: parts[place].text + parts[place + 1].text });
    }
    return parts.flatMap(({ text: part, id }) => {
      if (id !== undefined) return [id];
      const known = this.scores.get(part);
      return known ? [known[1]] : [...new TextEncoder().encode(part)].map((byte) => this.firstByte + byte);
    });
  }

  isByte(id) {
    return this.types[id] === BYTE;
  }

  // The text of ids up to the first end id.
  decode(ids) {
    let text = "", bytes = [];
    const flush = () => {
      if (bytes.length) text += new TextDecoder().decode(new Uint8Array(bytes));
      bytes = [];
    };
    for (const id of ids) {
      if (id === END_ID) break;
      if (this.isByte(id)) { bytes.push(id - this.firstByte); continue; }
      flush();
      if (this.types[id] !== CONTROL && this.types[id] !== UNKNOWN) text += this.texts[id];
    }
    flush();
    return text.replaceAll(BLANK, " ").replace(/^ +/, "");
  }
}
