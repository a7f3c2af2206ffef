// The model: its files, checked against their SHA-256, its graphs in onnxruntime-web, and lines in, answers out.

const LONGEST_GROWTH = 16; // an answer may have this many tokens more than its line

class Model {
  constructor(config, onProgress) {
    this.config = config;
    this.form = config.form;
    this.onProgress = onProgress;
    this.decoders = new Map();
    this.loaded = 0;
    this.total = 0;
  }

  // Opens what every class needs.
  async open() {
    const { runtime, model } = this.config;
    const [wasm, tokenizer, words, shared, encoder] = await Promise.all(
      [runtime.wasm, model.tokenizer, model.words, model.weights, model.encoder].map((file) => (file ? this.read(file) : null)),
    );
    this.tokenizer = new Tokenizer(tokenizer);
    this.words = words && new Set(new TextDecoder().decode(words).split("\n"));
    this.shared = shared ? [{ path: model.weights.stored, data: shared }] : [];
    this.ort = await import(new URL(addressOf(runtime.script), document.baseURI));
    Object.assign(this.ort.env.wasm, { wasmBinary: wasm, numThreads: 1, proxy: false });
    this.encoder = await this.session(encoder);
  }

  // The decoder of a class, opened when it is first asked for.
  decoder(to) {
    if (!this.decoders.has(to)) {
      const { decoders, class_weights } = this.config.model;
      const own = class_weights[to];
      const opening = Promise.all([this.read(decoders[to]), own ? this.read(own) : null]).then(([content, weights]) =>
        this.session(content, weights ? [{ path: own.stored, data: weights }] : []),
      );
      this.decoders.set(to, opening);
      opening.catch(() => this.decoders.delete(to));
    }
    return this.decoders.get(to);
  }

  session(content, own = []) {
    const options = { executionProviders: ["wasm"], graphOptimizationLevel: "basic", enableMemPattern: false, externalData: [...this.shared, ...own] };
    return this.ort.InferenceSession.create(content, options);
  }

  async read(file) {
    this.total += file.bytes;
    const response = await fetch(addressOf(file));
    if (!response.ok) throw new Error(`${file.path} is missing on the server (status ${response.status})`);
    const parts = [];
    let size = 0;
    for (const reader = response.body.getReader(); ;) {
      const { value, done } = await reader.read();
      if (done) break;
      parts.push(value);
      size += value.length;
      this.loaded += value.length;
      this.onProgress(this.loaded, this.total);
    }
    const content = new Uint8Array(await new Blob(parts).arrayBuffer());
    // Pages from plain http:// of another machine have no access to the digest; sizes are checked there alone.
    const digest = globalThis.crypto?.subtle && (await crypto.subtle.digest("SHA-256", content));
    const hexadecimal = digest && [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    if (size !== file.bytes || (digest && hexadecimal !== file.sha256)) throw new Error(`${file.path} on the server is damaged`);
    return content;
  }

  // The answer to a line: {source, output, sentences: [{source, output, note, after}]}.
  async rewrite(line, to) {
    const source = line.split(/\s+/).filter(Boolean).join(" ");
    const { texts, gaps } = splitSentences(source);
    const sentences = [];
    for (const [place, text] of texts.entries()) sentences.push(...(await this.rewriteSentence(text, to, gaps[place] ?? "")));
    return { source, output: sentences.map(({ output, after }, place) => output + (place + 1 < sentences.length ? after : "")).join(""), sentences };
  }

  async rewriteSentence(text, to, after) {
    const left = (note) => [{ source: text, output: text, note, after }];
    if (!text) return left(null);
    const why = this.form.corpus ? null : whyUnread(text, this.form);
    if (why) return left(why);
    const surface = this.form.corpus || isInForm(text, this.form) ? null : tokenize(text, this.form);
    const read = surface ? surface.words.join(" ") : this.form.corpus && this.form.lower_case ? text.toLowerCase() : text;
    const ids = this.tokenizer.encode(read);
    if (ids.length >= this.config.maximum_tokens) {
      const halves = splitInTwo(text);
      if (!halves) return left("it is longer than the model reads");
      const found = [];
      for (const [place, half] of halves.texts.entries()) found.push(...(await this.rewriteSentence(half, to, place ? after : halves.gaps[0])));
      return found;
    }
    if (ids.some((id) => this.tokenizer.isByte(id))) return left("it has characters that the model does not know");
    const answer = this.tokenizer.decode(await this.decode([...ids, END_ID], to));
    const output = this.form.corpus ? answer : restore(answer, surface, this.form);
    if (answer !== read && !this.isFaithful(read, answer, text, output)) return left("no rewrite keeps what must stay, such as a number");
    return [{ source: text, output, note: output === text ? "the model would not change it" : null, after }];
  }

  // Says whether an answer keeps what must stay, and has only words of its source and of the corpus.
  isFaithful(read, answer, source, output) {
    const { number } = this.form;
    if (number && read.split(number).length !== answer.split(number).length) return false;
    const old = new Set(read.split(" "));
    if (this.words && !answer.split(" ").every((word) => !word || old.has(word) || this.words.has(word))) return false;
    return this.form.corpus || keepsForm(source, output, this.form);
  }

  // Rewrites one row of ids that ends with the end id, greedily.
  async decode(ids, to) {
    const { Tensor } = this.ort;
    const whole = (numbers, shape) => new Tensor("int64", BigInt64Array.from(numbers, BigInt), shape);
    const tokens = whole(ids, [1, ids.length]);
    const decoder = await this.decoder(to);
    const code = await this.encoder.run({ tokens, lengths: whole([ids.length], [1]) });
    const feed = { code: code.code, code_mask: code.code_mask, maximum_length: whole([ids.length + LONGEST_GROWTH], []) };
    if (decoder.inputNames.includes("source")) feed.source = tokens;
    const { tokens: answer } = await decoder.run(feed);
    return Array.from(answer.data, Number);
  }
}

// What is stored under an address never changes, because its checksum is part of it.
function addressOf(file) {
  return `${file.path}?${file.sha256.slice(0, 16)}`;
}
