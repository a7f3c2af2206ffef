// A typed sentence to the words of a Penn-Treebank corpus, as `arae_transfer/text/treebank.py` cuts it; ASCII alone.

const CLITICS = "s|m|re|ve|ll|d|n";
const BREAKS = String.raw`\s,;:?!()\[\]{}<>"'${"`"}@#$%&.`;
const LETTERS = String.raw`[^\-${BREAKS}]+`;
const MERGED_WORDS = { cannot: 3, gonna: 3, gotta: 3, wanna: 3, gimme: 3, lemme: 3 };
const MERGED_PAIRS = new Set(["'t is", "'t was", ...Object.entries(MERGED_WORDS).map(([word, cut]) => `${word.slice(0, cut)} ${word.slice(cut)}`)]);
const CLITIC_AT_END = new RegExp(String.raw`(?:(?<=[A-Za-z_])n't|(?<=\w)'(?:${CLITICS}))$`, "i");
const EVIDENCE = new Set([".", ",", "!", "?", ";", ":", "(", ")", "''", "``", "'", "n't", ...CLITICS.split("|").map((each) => "'" + each)]);
const TREEBANK_WORD = new RegExp(
  String.raw`^(?:[.,!?;:()\[\]{}<>$#%&@|\\^]|\.\.\.|--|${"``"}|''?|n't|'\w+` +
  String.raw`|(?!.*(?:--|(?:n't|'(?:${CLITICS}))$))(?:[\w*+/=~-]|(?<=\w)['.](?=\w)|(?<=\d)[,:](?=\d))+\.?)$`,
);

const isNumber = (word) => /^(?:\.?\d+(?:[.,:-]\d+)*|\d+\/\d+\/\d+)$/.test(word);
const own = (table, key) => (Object.hasOwn(table, key) ? table[key] : undefined);

// Says whether a line is surely as the corpus would write it, and not merely in no conflict with it.
function isInForm(line, form) {
  const words = line.split(" ");
  if (!words.some((word) => EVIDENCE.has(word) || (form.number && word === form.number))) return false;
  return words.every((word) =>
    TREEBANK_WORD.test(word) && !(form.lower_case && word !== word.toLowerCase()) &&
    !(form.number && /^\d*\.?\d+$/.test(word)) && own(MERGED_WORDS, word.toLowerCase()) === undefined);
}

// {words, surfaces, gaps}: the corpus's words, how each was typed, the blanks before each and after the last.
function tokenize(line, form) {
  const words = [], surfaces = [], gaps = [];
  let quoteOpen = false, end = 0;
  const put = (word, surface, gap) => { words.push(word); surfaces.push(surface); gaps.push(gap); };
  for (const found of scan(line, form)) {
    let { kind, start, stop } = found;
    let gap = line.slice(end, start);
    end = stop;
    let word = line.slice(start, stop);
    if (kind === "plain" || kind === "word") {
      for (const middle of cuts(word, start, form)) {
        put(written(line.slice(start, middle), form), line.slice(start, middle), gap);
        [start, gap] = [middle, ""];
      }
      word = written(line.slice(start, stop), form);
    } else if (kind === "mark") {
      if (word === "." && words.length && !gap && keepsPeriod(words[words.length - 1], line, stop)) {
        words[words.length - 1] += word;
        surfaces[surfaces.length - 1] += word;
        continue;
      }
    } else if (kind === "placeholder") word = form.number;
    else if (kind === "quote") {
      quoteOpen = opensQuote(line, start, stop, quoteOpen);
      word = quoteOpen ? "``" : "''";
    } else if (kind === "end") word = word.includes("?") ? "?" : "!";
    else if (kind === "dots") word = "...";
    else if (kind === "dash") word = "--";
    else word = written(word, form);
    put(word, line.slice(start, stop), gap);
  }
  if (words[words.length - 1] === "...") {
    // The corpora end such a sentence in "... ."; where only three dots were typed, the period has no width.
    const dots = surfaces.pop(), width = dots.length > 3 ? 1 : 0;
    surfaces.push(dots.slice(0, dots.length - width), dots.slice(dots.length - width));
    words.push(".");
    gaps.push("");
  }
  gaps.push(line.slice(end));
  return { words, surfaces, gaps };
}

const scanners = new Map();

function scannerOf(number) {
  let scanner = scanners.get(number);
  if (!scanner) {
    const anyCase = (pattern) => pattern.replace(/[a-z]/g, (letter) => `[${letter}${letter.toUpperCase()}]`);
    const alternatives = [
      String.raw`(?<plain>[A-Za-z]+(?=[\s,!?;)]|$))`,
      String.raw`(?<quote>"|${"``"}|'')`,
      String.raw`(?<dots>\.{2,})`,
      String.raw`(?<end>[!?]+)`,
      String.raw`(?<dash>-{2,})`,
      String.raw`(?<clitic>'(?:(?:${anyCase(`${CLITICS}|em|til|till|cause|bout|burgh`)})(?!\w)|[tT](?:(?=(?:${anyCase("is|was")})\b)|(?!\w))))`,
      // A period and a capital after small letters, as in "cold.The", end a sentence and begin one.
      String.raw`(?<word>(?:(?<![^${BREAKS}])(?<!')\.(?=\d))?(?:${LETTERS}|-(?!-))` +
        String.raw`(?:${LETTERS}|-(?!-)|(?<=\w)'(?=\w)|(?<=\w)\.(?=\w)(?!(?<=[a-z]{2}\.)[A-Z])|(?<=\d)[,:](?=\d))*)`,
      String.raw`(?<mark>\S)`,
    ];
    if (number) alternatives.unshift(`(?<placeholder>${number.replace(/\W/g, "\\$&")}(?!\\w))`);
    scanners.set(number, scanner = new RegExp(alternatives.join("|"), "g"));
  }
  return scanner;
}

function* scan(line, form) {
  for (const match of line.matchAll(scannerOf(form.number))) {
    const kind = Object.keys(match.groups).find((name) => match.groups[name] !== undefined);
    yield { kind, start: match.index, stop: match.index + match[0].length };
  }
}

function written(typed, form) {
  if (form.number && isNumber(typed)) return form.number;
  return form.lower_case ? typed.toLowerCase() : typed;
}

// The positions inside a word, which begins at `start`, where the Treebank cuts it.
function cuts(word, start, form) {
  const merged = own(MERGED_WORDS, word.toLowerCase());
  if (merged !== undefined) return [start + merged];
  const found = [];
  if (word.includes("'")) {
    let rest = word;
    for (let turn = 0; turn < 2; turn++) {
      const clitic = CLITIC_AT_END.exec(rest);
      if (!clitic) break;
      rest = word.slice(0, clitic.index);
      found.unshift(start + clitic.index);
    }
  } else if (form.number && /^\d/.test(word)) {
    const half = /(?<=\d)[ap]\.?m$/i.exec(word);
    if (half && isNumber(word.slice(0, half.index))) found.push(start + half.index);
  }
  return found;
}

// Says whether the period after a word belongs to it; the last one of a line never does.
function keepsPeriod(word, line, stop) {
  const [, blank, following] = /^(\s*)(\S?)/.exec(line.slice(stop));
  if (!following || !(blank || ",:;".includes(following))) return false;
  const low = word.toLowerCase();
  if (TITLES.has(low) || (low.length === 1 && isLetter(low) && !"ai".includes(low))) return true;
  return !isUpper(following) && (OTHER_ABBREVIATIONS.has(low) || /^(?:[a-z]\.){1,4}[a-z]$/.test(low));
}

// Says whether a double quote opens a quotation, by what stands around it.
function opensQuote(line, start, stop, quoteOpen) {
  const typed = line.slice(start, stop);
  if (typed === "``") return true;
  const before = line.slice(Math.max(0, start - 1), start), after = line.slice(stop, stop + 1);
  if (typed === "''") return !quoteOpen && !before.trim() && isWordCharacter(after);
  if (!before.trim() || "([{<-/".includes(before)) return after.trim() ? true : !quoteOpen;
  return !quoteOpen && ",.:;!?".includes(before) && isWordCharacter(after);
}
