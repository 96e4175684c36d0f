import { describe, expect, it } from "vitest";
import { RegistrationIndex } from "../../src/registration/index.ts";
import { OPTIONS, namespace, node, pod, rule } from "./universe.ts";

const RULE = "ClusterSPIFFEID";
const fixed = (path: string) => `spiffe://example.org/${path}`;
/** Ends well, after some thousand steps. */
const COSTLY = "{{ range $i := 900 }}{{ if $i }}{{ end }}{{ end }}spiffe://example.org/costly";
/** Never ends by itself. */
const ENDLESS = '{{ define "t" }}{{ template "t" . }}{{ end }}{{ template "t" . }}';
const PODS = 100;

function start() {
  let putOff = 0;
  const index = new RegistrationIndex(
    OPTIONS,
    () => undefined,
    () => void (putOff += 1),
  );
  index.applyNamespace(namespace());
  index.applyNode(node());
  index.batch(() => {
    for (let n = 0; n < PODS; n += 1) index.applyPod(pod({ name: `p-${n}` }));
  });
  const idsOf = (n: number) => index.entriesOfPod(`uid-p-${n}`).map(({ spiffeId }) => spiffeId);
  const withId = (id: string) =>
    Array.from({ length: PODS }, (_, n) => n).filter((n) => idsOf(n).includes(id)).length;
  return { index, idsOf, withId, putOffs: () => putOff };
}

function resumeAll(index: RegistrationIndex): number {
  let turns = 1;
  while (index.resume()) turns += 1;
  return turns;
}

describe("a rule that is costly to render", () => {
  it("is given to a few pods at once, and to all in turns", () => {
    const { index, withId, putOffs } = start();
    index.applyResource(RULE, rule({ spiffeIDTemplate: COSTLY }));
    expect(withId(fixed("costly"))).toBe(16);
    expect(putOffs()).toBe(1);
    expect(resumeAll(index)).toBeGreaterThan(3);
    expect(withId(fixed("costly"))).toBe(PODS);
    expect(index.resume()).toBe(false);
  });

  it("leaves pods what they had until their turn", () => {
    const { index, idsOf, withId } = start();
    index.applyResource(RULE, rule({ spiffeIDTemplate: fixed("before") }));
    index.applyResource(RULE, rule({ generation: 2, spiffeIDTemplate: COSTLY }));
    expect(withId(fixed("costly"))).toBe(16);
    expect(withId(fixed("before"))).toBe(PODS - 16);
    for (let n = 0; n < PODS; n += 1) expect(idsOf(n)).toHaveLength(1);
    resumeAll(index);
    expect(withId(fixed("costly"))).toBe(PODS);
  });

  it("holds up no other rule, whether it came before or comes meanwhile", () => {
    const { index, withId } = start();
    index.applyResource(RULE, rule({ name: "endless", spiffeIDTemplate: ENDLESS }));
    expect(index.statusOf("uid-endless")).toMatchObject({
      stats: { podEntryRenderFailures: 16, podsSelected: 16 },
    });
    index.applyResource(RULE, rule({ name: "other", spiffeIDTemplate: fixed("other") }));
    resumeAll(index);
    expect(withId(fixed("other"))).toBe(PODS);
    expect(index.statusOf("uid-endless")).toMatchObject({
      stats: { podEntryRenderFailures: PODS, podsSelected: PODS },
    });
  });

  it("is decided for new pods at once, however many wait", () => {
    const { index } = start();
    index.applyResource(RULE, rule({ spiffeIDTemplate: COSTLY }));
    index.applyPod(pod({ name: "new" }));
    expect(index.entriesOfPod("uid-new")).toHaveLength(1);
  });

  it("gives the same in the end as a cheap one would", () => {
    const { index } = start();
    index.applyResource(RULE, rule({ spiffeIDTemplate: COSTLY }));
    index.removePod(pod({ name: "p-99" }));
    index.applyPod(pod({ name: "p-98", labels: { a: "b" } }));
    resumeAll(index);
    expect(index.statusOf("uid-all")).toMatchObject({
      ready: true,
      stats: { podsSelected: PODS - 1, entriesToSet: PODS - 1 },
    });
    index.removeResource(RULE, "uid-all");
    expect(index.resume()).toBe(false);
    expect([...index.entries()]).toEqual([]);
  });

  it("that goes while pods wait for it leaves nothing behind", () => {
    const { index } = start();
    index.applyResource(RULE, rule({ spiffeIDTemplate: COSTLY }));
    index.removeResource(RULE, "uid-all");
    resumeAll(index);
    expect([...index.entries()]).toEqual([]);
  });

  it("is tried for a few pods in a preview", () => {
    const { index } = start();
    const preview = index.preview(RULE, rule({ spiffeIDTemplate: ENDLESS }), {
      maxTried: 1000,
      maxShown: 20,
    });
    expect(preview).toMatchObject({ podsSelected: PODS, podsTried: 16, outcomes: { failed: 16 } });
  });
});

it("a cheap rule is given to all pods at once", () => {
  const { index, withId, putOffs } = start();
  index.applyResource(RULE, rule({ spiffeIDTemplate: fixed("cheap") }));
  expect(withId(fixed("cheap"))).toBe(PODS);
  expect(putOffs()).toBe(0);
});
