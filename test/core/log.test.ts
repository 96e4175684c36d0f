import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { expect, it } from "vitest";

it("writes JSON lines and never what a secret field holds", () => {
  const module = join(import.meta.dirname, "../../src/core/log.ts");
  const script = `
    import { createLog } from ${JSON.stringify(module)};
    const log = createLog({ level: "info", role: "test" });
    log.info({ token: "s3cret", request: { key: "s3cret", secrets: { a: "s3cret" } }, pod: "a/b" }, "hello");
    log.debug({}, "not shown");
  `;
  const out = execFileSync(process.execPath, ["--input-type=module", "-e", script], {
    encoding: "utf8",
  });
  const lines = out.trim().split("\n");
  expect(lines).toHaveLength(1);
  expect(out).not.toContain("s3cret");
  expect(JSON.parse(lines[0] ?? "")).toMatchObject({
    role: "test",
    msg: "hello",
    pod: "a/b",
    level: "info",
  });
});
