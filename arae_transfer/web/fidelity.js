// What the page reads, and whether an answer keeps what must stay, as `arae_transfer/text/fidelity.py` and `protected.py`
// say it for the lines that the page reads.

// A line with any of these may hold what the page cannot carry past the model: addresses, tags, code, emoticons.
const MAY_BE_PROTECTED = new RegExp(
  [
    String.raw`[@#<&{}\[\]\\*~|^=]|:\/\/|www\.|(?<!${"`"})${"`"}(?!${"`"})|${"```"}|(?<!\w)\/|\/(?!\w)|\/\S*\/|(?<!\w)_|_(?!\w)|[:;]['^-]?[()DPpOo3/\\]`,
    String.raw`:\w+:|\w\.\w|\d\s?['"]|%[\w(]|\$[A-Za-z$]|---|^\s*[-+]\s|[DO]-?:|\b[xX][D(]|\b[oOtT]_|-_`,
  ].join("|"),
);
const DIGITS = String.raw`\.?\d+(?:[.,:/x-]\d+)*`;
const UNIT = String.raw`\s?%|\s?[ap]\.m\.|\s?[ap]m\b|(?:st|nd|rd|th|s|k|m|h|g|kg|lb|lbs|oz|cm|mm|km|mi|ft|in|mph|px|gb|mb)\b`;
const PAIRED = /``|''|["()]/g;

// Why the page leaves a sentence as it is, or null.
function whyUnread(sentence, form) {
  if (!/\p{L}/u.test(sentence)) return "there is no word in it";
  if (/[^ -~]/.test(sentence)) return "it has characters that this page does not read";
  return mayBeProtected(sentence, form) ? "it holds an address, an emoticon, code or the like, which this page does not read" : null;
}

function mayBeProtected(text, { number }) {
  const numbers = number ? text.replaceAll(number, "0") : text;
  return MAY_BE_PROTECTED.test(numbers.replace(/(?<=\d)\.(?=\d)/g, "").replace(/(?<=[ap])\.m\b/gi, ""));
}

// The numbers of a line with their currencies and units.
function numbersIn(text, number) {
  const digits = number ? `(?:${number.replace(/\W/g, "\\$&")}|${DIGITS})` : DIGITS;
  const found = text.match(new RegExp(String.raw`(?:\$\s?)?${digits}(?:${UNIT})?`, "gi")) ?? [];
  return found.map((each) => each.split(/\s+/).join(" "));
}

function isBalanced(marks) {
  let open = 0;
  for (const mark of marks) {
    open += mark === "(" ? 1 : mark === ")" ? -1 : 0;
    if (open < 0) return false;
  }
  const count = (wanted) => marks.filter((mark) => mark === wanted).length;
  const [opening, closing] = [count("``"), count("''")];
  return !open && count('"') % 2 === 0 && opening <= closing && (opening + closing) % 2 === 0;
}

// Says whether an answer has the numbers of its source, and quotation marks and brackets that balance.
function keepsForm(source, answer, form) {
  if (numbersIn(source, form.number).join("\n") !== numbersIn(answer, form.number).join("\n")) return false;
  if (mayBeProtected(answer, form)) return false;
  const before = source.match(PAIRED) ?? [], after = answer.match(PAIRED) ?? [];
  if (before.join(" ") === after.join(" ")) return true;
  return isBalanced(before) && isBalanced(after) && after.every((mark) => before.includes(mark));
}
