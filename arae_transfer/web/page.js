// The page: what a person types is rewritten line by line, and shown sentence by sentence.

const $ = (id) => document.getElementById(id);
const config = JSON.parse($("config").textContent);
let running = null, plain = false, lines = [], opened = null;

const model = new Model(config, (loaded, total) => {
  if ($("progress").hidden) return; // the other classes come while this one is ready
  $("progress").value = loaded / total;
  if (loaded < total) showState("", `loading the model, ${Math.round((100 * loaded) / total)} %`);
});

// Rewrites lines, such as `await rewriteLines(["the food was cold ."], "positive")`.
async function rewriteLines(texts, to) {
  await openModel();
  const found = [];
  for (const text of texts) found.push((await model.rewrite(text, to)).output);
  return found;
}

function openModel() {
  opened ??= model.open().catch((error) => { opened = null; throw error; });
  return opened;
}

function chosenClass() {
  return document.querySelector("input[name=to]:checked").value;
}

async function rewrite() {
  if (running) { running.stopped = true; return; }
  $("alert").hidden = true;
  if (!$("text").value.trim()) { $("text").focus(); return; }
  lines = [];
  $("parts").replaceChildren();
  const work = running = { stopped: false };
  $("go").textContent = "Stop";
  showAnswer();
  try {
    await openModel();
    const to = chosenClass();
    await model.decoder(to);
    showReady();
    for (const text of $("text").value.split(/\r\n|\r|\n/)) {
      if (work.stopped) break;
      addLine(await model.rewrite(text, to));
      await new Promise((resume) => setTimeout(resume)); // so that the page shows it, and Stop can be pressed
    }
    const sentences = lines.flatMap((line) => line.sentences).filter((each) => each.source);
    const changed = sentences.filter((each) => each.output !== each.source).length;
    $("spoken").textContent = `Done: ${changed} of ${sentences.length} sentences changed.`;
  } catch (error) {
    showProblem(error);
  } finally {
    running = null;
    $("go").textContent = "Rewrite";
    showAnswer();
  }
}

function addLine(line) {
  lines.push(line);
  for (const part of line.sentences) {
    if (!part.source) continue;
    const item = make("li", {}, make("div", { className: "line" }, ...marked(part.source, part.output)));
    if (part.note) item.append(make("div", {}, make("span", { className: "note" }, sentence(`left as it is: ${part.note}`))));
    $("parts").append(item);
  }
  $("parts").classList.toggle("single", $("parts").children.length === 1);
  showAnswer();
}

function answerText() {
  return lines.map((line) => line.output).join("\n");
}

function showAnswer() {
  const some = lines.length > 0;
  for (const id of ["copy", "changes"]) $(id).hidden = !some;
  $("answer").classList.toggle("empty", !some);
  $("answer").classList.toggle("plain", plain);
  $("changes").textContent = plain ? "Show changes" : "Hide changes";
  $("answer").hidden = !some && !$("alert").hidden;
  if (!some) { $("answer").textContent = running ? "…" : "The rewrite appears here."; return; }
  $("answer").replaceChildren(...lines.flatMap((line, place) => [...(place ? ["\n"] : []), ...marked(line.source, line.output)]));
}

function showProblem(error, remedy) {
  const lost = error instanceof TypeError && /fetch|import|network/i.test(error.message);
  remedy ??= lost ? "See whether the server answers, then load the page again." : "Load the page again; if that does not help, copy the folder to the server anew.";
  $("alert").replaceChildren(make("p", {}, sentence(lost ? "a file of this page cannot be read" : error.message)), make("p", {}, sentence(remedy)));
  $("alert").hidden = false;
  showState("off", "not ready");
  showAnswer();
}

function showState(kind, text) {
  $("state").className = "state " + kind;
  $("state").textContent = text;
}

function showReady() {
  $("progress").hidden = true;
  showState("on", `${config.name} is ready`);
}

function showShell() {
  const quote = (text) => (/^[\w.\/-]+$/.test(text) ? text : "'" + text.replaceAll("'", "'\\''") + "'");
  const form = config.form.corpus ? " --form corpus" : "";
  $("shell").textContent = `arae transfer --model ${quote(config.name)} --to ${quote(chosenClass())} --beam 1 --if-unchanged keep${form} < reviews.txt`;
}

function show() {
  const { form } = config;
  $("classes").replaceChildren(...config.classes.map((name, place) =>
    make("label", {}, make("input", { type: "radio", name: "to", value: name, checked: place === config.classes.length - 1 }), make("span", {}, name))));
  const reads = form.corpus
    ? `It reads lines that are written as the model's corpus writes them${form.lower_case ? ", in lower case" : ""}.`
    : "It reads plain English sentences, and lines as the model's corpus writes them. Sentences with addresses, emoji, accents or code are left as they are.";
  $("reads").textContent = `This page takes the most probable words, one after the other (greedily). ${reads}`;
  $("about").textContent = `arae ${config.version}, model ${config.name} (${config.variant}), onnxruntime-web ${config.runtime.version}.`;
  showShell();
}

async function start() {
  show();
  if (location.protocol === "file:") {
    showProblem(new Error("browsers open no models from files"), "Let a web server serve this folder, such as: python3 -m http.server");
    return;
  }
  try {
    await openModel();
    await model.decoder(chosenClass());
    showReady();
    for (const name of config.classes) await model.decoder(name);
    // From then on the page works without its server. It comes last, so that nothing is downloaded twice.
    await navigator.serviceWorker?.register("offline.js").catch(() => {});
  } catch (error) { showProblem(error); }
}

$("form").addEventListener("submit", (event) => { event.preventDefault(); rewrite(); });
$("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); $("form").requestSubmit(); }
});
$("classes").addEventListener("change", showShell);
$("copy").addEventListener("click", () => copy($("copy"), answerText()));
$("changes").addEventListener("click", () => { plain = !plain; showAnswer(); });
start();
