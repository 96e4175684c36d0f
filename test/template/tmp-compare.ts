import { readFileSync } from "node:fs";
import { isSignetError } from "../../src/core/errors.ts";
import { compileTemplate } from "../../src/template/template.ts";
const rd = (f: string) => JSON.parse(readFileSync(new URL(`../golden/templates/${f}`, import.meta.url), "utf8"));
const { data } = rd("corpus.json"); const golden = rd("golden.json");
let bad = 0, cls = 0;
for (const g of golden) {
  let r: any;
  try { const o = compileTemplate(g.template, { name: "t" }).render(data[g.data]); r = { class: "ok", output: o }; }
  catch (e: any) {
    if (isSignetError(e, "TEMPLATE_PARSE")) r = { class: "parse", error: `template: t:${e.details.line}: ${(e.details.reason as string).replace("action started at line ", "action started at t:")}` };
    else if (isSignetError(e, "TEMPLATE_EXEC")) { const d: any = e.details; r = { class: "exec", error: `template: t:${d.line}:${d.column - 1}: executing ${JSON.stringify(d.template === "" ? "t" : d.template)} at <${d.node}>: ${d.reason}` }; }
    else r = { class: "CRASH", error: e.stack };
  }
  const want = g.class === "ok" ? g.output ?? "" : g.error; const got = r.class === "ok" ? r.output : r.error;
  if (r.class !== g.class || want !== got) { bad++; if (r.class !== g.class) cls++; console.log(JSON.stringify(g.template), g.data, "\n   GO  ", g.class, JSON.stringify(want).slice(0, 600), "\n   OURS", r.class, JSON.stringify(got).slice(0, 600)); }
}
console.log(golden.length, "bad", bad, "class", cls);
