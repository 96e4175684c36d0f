import { SignetError } from "../core/errors.ts";
import { labelKeyProblem, labelValueProblem } from "./label-syntax.ts";
import type { LabelSelectorSpec } from "./schemas.ts";

export type Labels = Readonly<Record<string, string>>;

/**
 * Objects that match carry `key` with one of `values`, or with any value when those are left out; lets an
 * index find candidates without scanning.
 */
export interface SelectorAnchor {
  readonly key: string;
  readonly values?: readonly string[];
}

/** A metav1.LabelSelector ready to match. */
export interface LabelSelector {
  matches(labels: Labels | undefined): boolean;
  /** The first requirement that `labels` do not meet, in words; undefined when they match. */
  unmet(labels: Labels | undefined): string | undefined;
  readonly anchor: SelectorAnchor | undefined;
}

interface Requirement {
  readonly text: string;
  readonly anchor?: SelectorAnchor;
  isMet(labels: Labels): boolean;
  readonly key: string;
}

const NO_LABELS: Labels = {};
/** More would only slow every match down; etcd's object limit allows far more than anyone writes. */
const MOST_REQUIREMENTS = 256;

/**
 * Compiles a label selector with the semantics of Kubernetes: undefined and `{}` match everything, all
 * requirements must hold, NotIn also matches objects without the key. Throws INVALID_SPEC that begins with
 * the offending field, `field` being the selector's own path such as `spec.podSelector`.
 */
export function compileLabelSelector(
  spec: LabelSelectorSpec | undefined,
  field: string,
): LabelSelector {
  const requirements = [
    ...Object.entries(spec?.matchLabels ?? {}).map(([key, value]) => equality(key, value, field)),
    ...(spec?.matchExpressions ?? []).map((expression, at) =>
      compileExpression(expression, `${field}.matchExpressions[${at}]`),
    ),
  ];
  if (requirements.length > MOST_REQUIREMENTS) {
    throw invalid(field, `a selector has at most ${MOST_REQUIREMENTS} requirements`);
  }
  return {
    anchor: chooseAnchor(requirements),
    matches: (labels = NO_LABELS) => requirements.every((requirement) => requirement.isMet(labels)),
    unmet(labels = NO_LABELS) {
      const failed = requirements.find((requirement) => !requirement.isMet(labels));
      return failed && describeUnmet(failed, labels);
    },
  };
}

/** Certain values narrow a search further than any value does. */
function chooseAnchor(requirements: readonly Requirement[]): SelectorAnchor | undefined {
  const anchors = requirements.flatMap(({ anchor }) => anchor ?? []);
  return anchors.find((anchor) => anchor.values) ?? anchors[0];
}

function equality(key: string, value: string, field: string): Requirement {
  const path = `${field}.matchLabels[${JSON.stringify(key)}]`;
  check(path, labelKeyProblem(key));
  check(path, labelValueProblem(value));
  return {
    key,
    text: `${key}=${value}`,
    anchor: { key, values: [value] },
    isMet: (labels) => own(labels, key) === value,
  };
}

type Expression = NonNullable<LabelSelectorSpec["matchExpressions"]>[number];

function compileExpression(expression: Expression, path: string): Requirement {
  const { key, operator, values = [] } = expression;
  check(`${path}.key`, labelKeyProblem(key));
  switch (operator) {
    case "In":
    case "NotIn":
      return membership(expression, path);
    case "Exists":
    case "DoesNotExist": {
      if (values.length > 0)
        throw invalid(`${path}.values`, `must be empty for operator ${operator}`);
      const wanted = operator === "Exists";
      return {
        key,
        text: wanted ? `${key} exists` : `${key} does not exist`,
        ...(wanted ? { anchor: { key } } : {}),
        isMet: (labels) => (own(labels, key) !== undefined) === wanted,
      };
    }
    default:
      throw invalid(
        `${path}.operator`,
        `${JSON.stringify(operator)} is not one of In, NotIn, Exists, DoesNotExist`,
      );
  }
}

function membership({ key, operator, values = [] }: Expression, path: string): Requirement {
  if (values.length === 0)
    throw invalid(`${path}.values`, `cannot be empty for operator ${operator}`);
  for (const [at, value] of values.entries()) {
    check(`${path}.values[${at}]`, labelValueProblem(value));
  }
  const set = new Set(values);
  const list = values.join(", ");
  if (operator === "NotIn") {
    const isMet = (labels: Labels): boolean => !set.has(own(labels, key) as string);
    return { key, text: `${key} not in (${list})`, isMet };
  }
  return {
    key,
    text: `${key} in (${list})`,
    anchor: { key, values },
    isMet: (labels) => set.has(own(labels, key) as string),
  };
}

/** Label keys come from users: `constructor` must not find the prototype's. */
function own(labels: Labels, key: string): string | undefined {
  return Object.hasOwn(labels, key) ? labels[key] : undefined;
}

function describeUnmet(requirement: Requirement, labels: Labels): string {
  const value = own(labels, requirement.key);
  const found =
    value === undefined ? "the label is missing" : `the label is ${JSON.stringify(value)}`;
  return `it requires ${requirement.text}, ${found}`;
}

function check(path: string, problem: string | undefined): void {
  if (problem !== undefined) throw invalid(path, problem);
}

function invalid(field: string, problem: string): SignetError {
  return new SignetError("INVALID_SPEC", `${field}: ${problem}`, { details: { field } });
}
