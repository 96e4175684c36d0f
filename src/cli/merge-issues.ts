import type { IssuesView, PodView, RuleView, SelectedPodView } from "../inspect/ports.ts";

/** What one replica of the operator answered. */
export interface Answered<T> {
  readonly replica: string;
  readonly view: T;
}

/**
 * The first answer, with the newest of all issues: every replica explains alike, and only the one that the node's agent
 * is connected to issues. Answers about an earlier pod of the same name are left aside.
 */
export function mergePods(first: Answered<PodView>, others: readonly Answered<PodView>[]): PodView {
  const same = others.filter(({ view }) => view.uid === first.view.uid);
  return { ...first.view, ...newestIssues([first, ...same]) };
}

/** The same for the pods of a custom resource. */
export function mergeRules(
  first: Answered<RuleView>,
  others: readonly Answered<RuleView>[],
): RuleView {
  const byPod = others.map(({ replica, view }) => ({
    replica,
    pods: new Map(view.pods.map((pod) => [pod.pod, pod])),
  }));
  const pods = first.view.pods.map((pod) => {
    const elsewhere = byPod.flatMap(({ replica, pods }) => {
      const view = pods.get(pod.pod);
      return view === undefined ? [] : [{ replica, view }];
    });
    const issues = newestIssues([{ replica: first.replica, view: pod }, ...elsewhere]);
    return { ...pod, ...issues } satisfies SelectedPodView;
  });
  return { ...first.view, pods };
}

function newestIssues(answers: readonly Answered<IssuesView>[]): IssuesView {
  const lastIssued = newest(answers, ({ lastIssued }) => lastIssued);
  const lastIssuedJwt = newest(answers, ({ lastIssuedJwt }) => lastIssuedJwt);
  const lastError = newest(answers, ({ lastError }) => lastError);
  return {
    ...(lastIssued === undefined ? {} : { lastIssued }),
    ...(lastIssuedJwt === undefined ? {} : { lastIssuedJwt }),
    ...(lastError === undefined ? {} : { lastError }),
  };
}

function newest<T extends { readonly at: string }>(
  answers: readonly Answered<IssuesView>[],
  pick: (view: IssuesView) => T | undefined,
): (T & { readonly replica: string }) | undefined {
  return answers
    .flatMap(({ replica, view }) => {
      const found = pick(view);
      return found === undefined ? [] : [{ ...found, replica }];
    })
    .toSorted((a, b) => Date.parse(b.at) - Date.parse(a.at))
    .at(0);
}
