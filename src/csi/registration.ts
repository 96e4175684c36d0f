import { SignetError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { Registration } from "../rpc/gen/pluginregistration/v1/registration_pb.js";
import type { Handlers } from "../rpc/server.ts";

/** The versions of the CSI protocol that kubelet may speak with us. */
const SUPPORTED_VERSIONS = ["1.0.0"];

export interface RegistrationOptions {
  readonly driverName: string;
  /** Path on the host of the socket that serves CSI. */
  readonly endpoint: string;
  readonly onRegistered: () => void;
  /** kubelet refused the driver; FAILED_PRECONDITION with its words. */
  readonly onRefused: (error: SignetError) => void;
  readonly log: Log;
}

/** What kubelet asks of a plugin whose socket it finds in its registry folder (pluginregistration v1). */
export function registrationHandlers({
  driverName,
  endpoint,
  onRegistered,
  onRefused,
  log,
}: RegistrationOptions): Handlers<typeof Registration> {
  return {
    getInfo: () =>
      Promise.resolve({
        type: "CSIPlugin",
        name: driverName,
        endpoint,
        supportedVersions: SUPPORTED_VERSIONS,
      }),
    notifyRegistrationStatus({ pluginRegistered, error }) {
      if (pluginRegistered) {
        log.info({ driver: driverName }, "kubelet registered the driver");
        onRegistered();
      } else {
        log.error({ driver: driverName, error }, "kubelet refused the driver");
        onRefused(
          new SignetError("FAILED_PRECONDITION", `kubelet refused ${driverName}: ${error}`),
        );
      }
      return Promise.resolve({});
    },
  };
}
