import { describe, expect, it } from "vitest";
import { isSignetError } from "../../src/core/errors.ts";
import { compileTemplate } from "../../src/template/template.ts";

const DATA = {
  TrustDomain: "td",
  ClusterName: "",
  ClusterDomain: "",
  PodSpec: { priority: 5, hostUsers: true, tolerations: [{ key: "k", tolerationSeconds: 5 }] },
};

function outcome(text: string): string {
  try {
    return compileTemplate(text).render(DATA);
  } catch (error) {
    if (!isSignetError(error)) throw error;
    return `${error.code} ${error.message}`;
  }
}

describe("the address of a pointer, which differs from run to run in Go", () => {
  it.each([
    ["{{print .PodSpec.Priority}}", "at <.PodSpec.Priority>: printing the address of *int32"],
    ['{{printf "%p" .PodSpec}}', "at <.PodSpec>: printing the address of *v1.PodSpec"],
    ['{{printf "%d" .PodSpec.Tolerations}}', "printing the address of *int64"],
    ["{{html (print .PodSpec.Priority)}}", "printing the address of *int32"],
    ["{{len (print .PodSpec.Priority)}}", "printing the address of *int32"],
    ["{{slice (print .PodSpec.Priority) 3}}", "printing the address of *int32"],
    [
      "{{if lt (print .PodSpec.Priority) (print .PodSpec.HostUsers)}}a{{end}}",
      "printing the address of *int32",
    ],
  ])("is refused where %s shows it", (text, refusal) => {
    const message = outcome(text);
    expect(message).toMatch(/^TEMPLATE_EXEC 1:\d+: at </);
    expect(message).toContain(`${refusal} is not supported`);
  });

  it("is fine where the result does not depend on it", () => {
    expect(outcome("{{if print .PodSpec.Priority}}x{{end}}")).toBe("x");
    expect(outcome("{{$x := print .PodSpec.Priority}}{{slice $x 0 2}}")).toBe("0x");
    expect(outcome("{{eq (print .PodSpec.Priority) (print .PodSpec.Priority)}}")).toBe("true");
    expect(outcome("{{eq (print .PodSpec.Priority) (print .PodSpec.HostUsers)}}")).toBe("false");
  });

  it("does not hide a later error, which is reported at its own place", () => {
    expect(outcome("{{$x := print .PodSpec.Priority}}{{.Foo}}")).toMatch(/ 1:36: at <\.Foo>: /);
    expect(outcome("{{(print .PodSpec.Priority).Foo}}")).toContain("can't evaluate field Foo");
  });
});
