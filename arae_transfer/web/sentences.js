// Lines of several sentences, as `arae_transfer/text/sentences.py` cuts them.

const TITLES = new Set("mr mrs ms dr prof st mt ft vs".split(" "));
const OTHER_ABBREVIATIONS = new Set("approx ave blvd co corp dept est etc hwy inc jr lb ltd oz rd sr".split(" "));
const SENTENCE_END =
  /(?<alone>(?<=\s)(?:\.\.\.|[.!?])(?: (?:''|['")\]]))*)(?<gap1>\s+)(?=\S)|(?<marks>(?<![.!?…])[.!?…]+)(?<close>['"”’)\]]*)(?<gap2>\s+)(?=\S)/g;
const CLAUSE = /(?<=[,;:])\s+|(?<!\s)\s+(?=(?:--?|–|—|but|and|because|so|which)\s)/gi;

const isLetter = (text) => /^\p{L}+$/u.test(text);
const isWordCharacter = (text) => /^[\p{L}\p{N}]/u.test(text);
const isLower = (text) => text !== text.toUpperCase() && text === text.toLowerCase();
const isUpper = (text) => text !== text.toLowerCase() && text === text.toUpperCase();

// {texts, gaps}: the sentences of a line, and the blanks between them.
function splitSentences(line) {
  const texts = [], gaps = [];
  let start = 0;
  for (const match of line.matchAll(SENTENCE_END)) {
    const { alone, gap1, marks, close, gap2 } = match.groups;
    const gap = alone === undefined ? gap2 : gap1;
    const gapStart = match.index + match[0].length - gap.length;
    // What stands before the mark must be more than marks, or it is none of a sentence.
    if (!/[^\s.!?…'"”’)\]]/.test(line.slice(start, match.index))) continue;
    if (!endsSentence(line, match.index, match.index + match[0].length, alone, marks)) continue;
    texts.push(line.slice(start, gapStart));
    gaps.push(gap);
    start = match.index + match[0].length;
  }
  return { texts: [...texts, line.slice(start)], gaps };
}

function endsSentence(line, start, stop, alone, marks) {
  const following = line[stop];
  if (alone !== undefined) return !(alone.startsWith("...") && isLower(following));
  if (marks === ".") {
    const last = line.slice(Math.max(0, start - 16), start).toLowerCase().split(/[\s.!?]/).pop();
    const word = last.replace(/^[(['"]+/, "");
    const dotted = line.startsWith(".", start - last.length - 1);
    return !(TITLES.has(word) || OTHER_ABBREVIATIONS.has(word) || dotted || (word.length === 1 && isLetter(word) && word !== "i"));
  }
  return !(isLower(following) && !marks.replace(/^[.…]+|[.…]+$/g, ""));
}

// Cuts a text near its middle, between two clauses if it has any; null: it is one word.
function splitInTwo(text) {
  const middle = text.length / 2;
  const first = text.length - text.trimStart().length, last = text.trimEnd().length;
  for (const [pattern, reach] of [[CLAUSE, text.length / 4], [/\s+/g, middle]]) {
    const near = [...text.matchAll(pattern)].filter((match) =>
      first < match.index && match.index + match[0].length < last && Math.abs(match.index - middle) <= reach);
    if (!near.length) continue;
    const best = near.reduce((one, other) => (Math.abs(other.index - middle) < Math.abs(one.index - middle) ? other : one));
    return { texts: [text.slice(0, best.index), text.slice(best.index + best[0].length)], gaps: [best[0]] };
  }
  return null;
}
