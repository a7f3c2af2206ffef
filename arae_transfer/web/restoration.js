// A model's answer in the way in which its line was typed, as `arae_transfer/text/restoration.py` writes it.

const ABSENT = -2; // no position, and not the one before the first either
const QUOTES = new Set(["``", "''"]);
const CONTRACTED = new Set(["n't", ...CLITICS.split("|").filter((each) => each !== "n").map((each) => "'" + each)]);
const CLOSE_MARKS = new Set([".", ",", "!", "?", ";", ":", ")", "]", "}", "%", "..."]);
const NO_OWNERS = new Set("as does has his is its says this us was".split(" "));
const FINAL_MARKS = new Set([".", "!", "?", "..."]);
const AFTER_FINAL_MARK = new Set(["''", "'", '"', ")", "]"]);
const TELLTALES = new Set([...CONTRACTED, ".", ",", "!", "?", ";"]);
const TRANSPARENT = new Set(["``", "''", "'", '"', "(", ")", "[", "]", "-", "--", "*"]);
const NO_NAMES = new Set(
  ("anyone everybody everyone everything food he here how it let no nobody nothing one service she somebody someone " +
    "something that there this today what when where who").split(" "),
);

const isAlpha = (text) => /^\p{L}/u.test(text);
const wordLike = (word) => isWordCharacter(word);
const sum = (numbers) => numbers.reduce((one, other) => one + other, 0);

// For each word of the answer the position of the same word in the source, or ABSENT; each is given once.
function align(source, answer) {
  const shorter = Math.min(source.length, answer.length);
  let begin = 0, tail = 0;
  while (begin < shorter && source[begin] === answer[begin]) begin++;
  while (tail < shorter - begin && source[source.length - 1 - tail] === answer[answer.length - 1 - tail]) tail++;
  const sourceEnd = source.length - tail, answerEnd = answer.length - tail;
  const positions = answer.map((_, index) =>
    index < begin ? index : index < answerEnd ? ABSENT : sourceEnd + index - answerEnd);
  const first = new Map(), later = new Map(), taken = new Set();
  for (let position = sourceEnd - 1; position >= begin; position--) {
    if (first.has(source[position])) later.set(position, first.get(source[position]));
    first.set(source[position], position);
  }
  let previous = begin - 1;
  for (let index = begin; index < answerEnd; index++) {
    const word = answer[index];
    let position = previous + 1;
    previous = ABSENT;
    if (!first.has(word)) continue;
    if (!(begin <= position && position < sourceEnd) || source[position] !== word || taken.has(position)) {
      position = first.get(word);
      while (taken.has(position)) position = later.get(position) ?? ABSENT;
      if (position === ABSENT) { first.delete(word); continue; }
      first.set(word, position);
    }
    taken.add(position);
    positions[index] = previous = position;
  }
  return positions;
}

// The blank, one or none, before each word of a treebank corpus in ordinary writing.
function spacesBefore(words, number) {
  const gaps = [];
  let quotesLeft = words.filter((word) => QUOTES.has(word)).length;
  let closingLeft = words.filter((word) => word === ")").length;
  let quoteOpen = false, apostropheOpen = false, bracketsOpen = 0, previous = "", close = true;
  words.forEach((word, index) => {
    if (isLetter(word)) {
      gaps.push(close || MERGED_PAIRS.has(`${previous} ${word}`) ? "" : " ");
      [previous, close] = [word, false];
      return;
    }
    const following = words[index + 1] ?? "";
    let joinsBefore = close, joinsAfter = false;
    if (CLOSE_MARKS.has(word)) {
      joinsBefore = true;
      if (word === ")") { closingLeft--; bracketsOpen = Math.max(0, bracketsOpen - 1); }
      else if (":;".includes(word) && ((following === ")" && !bracketsOpen) || (following === "(" && !closingLeft)))
        [joinsBefore, joinsAfter] = [close, true]; // ":)" and ":("
    } else if (CONTRACTED.has(word)) joinsBefore = close || /[\p{L}\p{N}_]$/u.test(previous);
    else if (QUOTES.has(word)) {
      quotesLeft--;
      quoteOpen = !quoteOpen && (word === "``" || (quotesLeft > 0 && previous !== number));
      [joinsBefore, joinsAfter] = [close || !quoteOpen, quoteOpen];
    } else if (word === "'") {
      const owned = previous.endsWith("s") && !NO_OWNERS.has(previous);
      if (apostropheOpen || owned || !words.slice(index + 1, index + 30).includes("'")) [joinsBefore, apostropheOpen] = [true, false];
      else joinsAfter = apostropheOpen = true;
    } else if ("([{".includes(word)) { joinsAfter = true; bracketsOpen += +(word === "("); }
    else if ("$#".includes(word)) joinsAfter = following !== "" && (following === number || following === word || /^\d/.test(following));
    gaps.push(joinsBefore ? "" : " ");
    [previous, close] = [word, joinsAfter];
  });
  return gaps;
}

// Where the run of final marks of a line begins and ends, before what closes after it.
function finalMarks(words) {
  let stop = words.length;
  while (stop && AFTER_FINAL_MARK.has(words[stop - 1])) stop--;
  if (!stop || !FINAL_MARKS.has(words[stop - 1])) return [words.length, words.length];
  let start = stop;
  while (start && FINAL_MARKS.has(words[start - 1])) start--;
  return [start, stop];
}

// Gives an answer the final marks of the line, or none.
function takeFinalMark(words, typed) {
  const [start, stop] = finalMarks(words), [typedStart, typedStop] = finalMarks(typed);
  const wanted = typed.slice(typedStart, typedStop);
  if (!start || !typedStart || words.slice(start, stop).join(" ") === wanted.join(" ")) return;
  if (start === stop && !wordLike(words[start - 1])) return; // after a bracket a mark would be one too many
  words.splice(start, stop - start, ...wanted);
}

function kindOf(word) {
  if (CONTRACTED.has(word)) return "contracted";
  if (CLOSE_MARKS.has(word)) return "mark";
  return wordLike(word) || /^[_']/.test(word) ? "word" : word;
}

// The blanks before each word of an answer: the line's own, and those of a rule where it has none.
function gapsOf(words, positions, rule, surface) {
  const gaps = [...rule], { words: typed, gaps: typedGaps } = surface;
  let begun = 0, last = -1; // the words since the last one that goes on in the line, and its position there
  for (let index = 0; index <= words.length; index++) {
    const position = index < words.length ? positions[index] : typed.length;
    if (position <= last) continue; // new, or moved
    const old = position - last - 1, fresh = index - begun;
    if (fresh && old) {
      for (let offset = 0; offset < (fresh === old ? fresh : 1); offset++)
        if (!MERGED_PAIRS.has(`${words[begun + offset - 1]} ${words[begun + offset]}`) && kindOf(words[begun + offset]) === kindOf(typed[last + 1 + offset])) gaps[begun + offset] = typedGaps[last + 1 + offset];
    } else if (fresh && index < words.length && typedGaps[position] && rule[begun] && wordLike(words[index])) gaps[begun] = typedGaps[position];
    if (index < words.length) {
      const mine = typedGaps[position];
      if (!old || fresh) {
        gaps[index] = mine || !fresh || !wordLike(words[index]) ? mine : gaps[index];
        if (fresh && old && !mine) gaps[index] = mine;
      } else gaps[index] = mine || (rule[index] && (typedGaps[last + 1] || rule[index]));
    }
    [begun, last] = [index + 1, position];
  }
  if (gaps.length) gaps[0] = typedGaps[0];
  return gaps;
}

function* arrangements(slots, length) {
  if (!length) { yield []; return; }
  for (let i = 0; i < slots.length; i++)
    for (const rest of arrangements([...slots.slice(0, i), ...slots.slice(i + 1)], length - 1)) yield [slots[i], ...rest];
}

// Which number of the line each placeholder of the answer stands for: the one among the same words.
function numbersOf(words, positions, surface, number) {
  const places = words.flatMap((word, index) => (number && word === number ? [index] : []));
  const typed = surface.words.flatMap((word, index) => (word === number ? [index] : []));
  const likeness = (index, position) => sum([[1, 2], [-1, 1.5], [2, 1], [-2, 0.5]].map(([distance, weight]) =>
    words[index + distance] !== undefined && words[index + distance] === surface.words[position + distance] ? weight : 0));
  let best = places.map((index) => typed.indexOf(positions[index]));
  if (places.length && places.length <= 5 && typed.length <= 5) {
    let most = [-1, false];
    const free = Array(Math.max(0, places.length - typed.length)).fill(-1);
    for (const chosen of arrangements([...typed.keys(), ...free], places.length)) {
      const own = chosen.filter((slot) => slot >= 0);
      const worth = sum(chosen.map((slot, row) => (slot < 0 ? 0 : likeness(places[row], typed[slot]))));
      const ordered = own.every((slot, row) => !row || own[row - 1] <= slot);
      if (worth > most[0] || (worth === most[0] && ordered && !most[1])) [best, most] = [chosen, [worth, ordered]];
    }
  }
  return new Map(places.map((index, row) => [index, best[row] >= 0 ? surface.surfaces[typed[best[row]]] : "X"]));
}

// How a line uses capitals; null: it has none.
function casingOf({ words, surfaces }) {
  const typed = surfaces.join(" ");
  if (typed === typed.toLowerCase()) return null;
  const names = new Map();
  let capitalised = 0;
  words.forEach((word, index) => {
    const surface = surfaces[index];
    if (surface === word || !isAlpha(surface) || surface === surface.toLowerCase()) return;
    const simple = isUpper(surface[0]) && (surface.length === 1 || isLower(surface.slice(1)));
    capitalised += simple;
    if (word.length > 1 && !word.includes("'") && !(simple && isOrdinary(words, index))) names.set(word, surface);
  });
  const shouts = isUpper(typed) && typed.match(/\p{L}/gu).length >= 4;
  const title = capitalised >= 4 && capitalised === surfaces.filter(isAlpha).length;
  const first = surfaces.find(isAlpha) ?? "";
  const sentences = /^\d/.test(surfaces[0]) || first !== first.toLowerCase();
  return { shouts, title, sentences, names: shouts || title ? new Map() : names };
}

// Says whether a word may have its capital from the beginning of a sentence alone.
function isOrdinary(words, index) {
  let before = index - 1;
  while (before >= 0 && TRANSPARENT.has(words[before])) before--;
  if (before >= 0 && !".!?".includes(words[before])) return false;
  return words[index + 1] !== "'s" || NO_NAMES.has(words[index]);
}

function spell(casing, word, starts) {
  if (!casing) return word;
  if (casing.shouts) return word.toUpperCase();
  if (casing.names.has(word)) return casing.names.get(word);
  const takes = isAlpha(word) && word !== "n't" && !/[.@/]/.test(word);
  if (word === "i" || ((casing.title || (starts && casing.sentences)) && takes)) return word[0].toUpperCase() + word.slice(1);
  return word;
}

// Says whether the line has blanks before its marks and contractions more often than not.
function isSpaced({ words, gaps }) {
  return sum(words.map((word, index) => (index && TELLTALES.has(word) ? (gaps[index] ? 1 : -1) : 0))) > 0;
}

// The model's answer as the line was typed; `surface` is what `tokenize` returned, or null: the line was in the form.
function restore(answer, surface, form) {
  const words = answer.split(/\s+/).filter(Boolean);
  if (!surface) return words.join(" ");
  const spaced = isSpaced(surface);
  if (form.lower_case) takeFinalMark(words, surface.words);
  else if (words.slice(-2).join(" ") === "... ." && surface.words.slice(-2).join(" ") !== "... .") words.pop();
  if (!words.length) return "";
  const positions = align(surface.words, words);
  const rule = spaced ? words.map(() => " ") : spacesBefore(words, form.number);
  const gaps = gapsOf(words, positions, rule, surface);
  const numbers = numbersOf(words, positions, surface, form.number);
  const casing = form.lower_case ? casingOf(surface) : null;
  const marks = new Map(spaced ? [] : [["``", '"'], ["''", '"']]);
  surface.words.forEach((word, index) => {
    const typed = surface.surfaces[index];
    if (word !== typed && typed && !isWordCharacter(typed) && (!spaced || QUOTES.has(word))) marks.set(word, typed);
  });
  let text = "", previous = -1, starts = true;
  words.forEach((word, index) => {
    const position = positions[index];
    let gap = gaps[index], put;
    if (position === previous + 1) put = surface.surfaces[position];
    else if (position !== ABSENT && !isLetter(word)) put = surface.surfaces[position] || word;
    else put = marks.get(word) ?? spell(casing, word, starts);
    if (numbers.has(index)) put = numbers.get(index);
    const joins = /[\p{L}\p{N}]$/u.test(text) && isWordCharacter(put) && !CONTRACTED.has(word) && !MERGED_PAIRS.has(`${words[index - 1]} ${word}`);
    if (!gap && position !== previous + 1 && joins) gap = " ";
    text += gap + put;
    starts = ".!?".includes(word) || (starts && TRANSPARENT.has(word));
    previous = position;
  });
  return text + surface.gaps[surface.gaps.length - 1];
}
