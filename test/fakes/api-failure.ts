import type { Status } from "../../src/kube/types.ts";

/** A refusal in the API server's words. */
export class ApiFailure extends Error {
  readonly status: Status;

  constructor(code: number, reason: string, message: string, details: Status["details"] = {}) {
    super(message);
    this.status = { kind: "Status", status: "Failure", code, reason, message, details };
  }
}

export const notFound = (plural: string, name: string): ApiFailure =>
  new ApiFailure(404, "NotFound", `${plural} "${name}" not found`, { name, kind: plural });

export const noResource = (): ApiFailure =>
  new ApiFailure(404, "NotFound", "the server could not find the requested resource");

export const alreadyExists = (plural: string, name: string): ApiFailure =>
  new ApiFailure(409, "AlreadyExists", `${plural} "${name}" already exists`, {
    name,
    kind: plural,
  });

export const conflict = (plural: string, name: string, why: string): ApiFailure =>
  new ApiFailure(409, "Conflict", `Operation cannot be fulfilled on ${plural} "${name}": ${why}`, {
    name,
    kind: plural,
  });

export const invalid = (plural: string, name: string, why: string): ApiFailure =>
  new ApiFailure(422, "Invalid", `${plural} "${name}" is invalid: ${why}`, { name, kind: plural });

export const badRequest = (why: string): ApiFailure => new ApiFailure(400, "BadRequest", why);

export const expired = (why: string): ApiFailure => new ApiFailure(410, "Expired", why);
