import { pino } from "pino";

export type LogFields = Readonly<Record<string, unknown>>;

/** What a component may say: a constant message and fields beside it. */
export interface Log {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
  /** A log whose every line carries `fields` as well. */
  child(fields: LogFields): Log;
}

export const LOG_LEVELS = ["debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Fields that could hold a secret; whatever they hold is replaced before it is written. */
const SECRET_FIELDS = ["token", "key", "privateKey", "secrets", "authorization", "volumeContext"];

/** Makes the process's log: JSON lines on standard output, secrets redacted at the top and one level down. */
export function createLog(options: { level: LogLevel; role: string }): Log {
  return pino({
    level: options.level,
    base: { role: options.role },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    redact: { paths: SECRET_FIELDS.flatMap((name) => [name, `*.${name}`]), censor: "[redacted]" },
    serializers: { err: pino.stdSerializers.err },
  });
}

/** A log that says nothing. */
export function silentLog(): Log {
  const log: Log = {
    debug: () => undefined,
    info: () => undefined,
    warn: () => undefined,
    error: () => undefined,
    child: () => log,
  };
  return log;
}
