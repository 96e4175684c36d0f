import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { NAMESPACE } from "./world.ts";
import type { Json, World } from "./world.ts";

/** A service account that has some rights in Signet's namespace and no others. */
export interface Account {
  /** Path of a kubeconfig file that speaks for the account. */
  readonly kubeconfig: string;
  remove(): Promise<void>;
}

/** Makes a service account in `namespace`, and a Role of the same name for it in Signet's namespace. */
export async function createAccount(
  world: World,
  { name, namespace, rules }: { name: string; namespace: string; rules: readonly Json[] },
): Promise<Account> {
  const { cluster } = world;
  const rbac = "rbac.authorization.k8s.io";
  const metadata = { name, namespace: NAMESPACE };
  await world.apply(
    { apiVersion: "v1", kind: "ServiceAccount", metadata: { name, namespace } },
    { apiVersion: `${rbac}/v1`, kind: "Role", metadata, rules },
    {
      apiVersion: `${rbac}/v1`,
      kind: "RoleBinding",
      metadata,
      roleRef: { apiGroup: rbac, kind: "Role", name },
      subjects: [{ kind: "ServiceAccount", name, namespace }],
    },
  );
  const folder = await mkdtemp(join(tmpdir(), "signet-account-"));
  const kubeconfig = join(folder, "kubeconfig");
  const view = ["config", "view", "--raw", "--minify", "-o", "json"];
  const config = JSON.parse(await cluster.kubectl(view));
  const token = (await cluster.kubectl(["create", "token", name, "-n", namespace])).trim();
  const [context] = config.contexts;
  const user = { name, user: { token } };
  const contexts = [{ ...context, context: { ...context.context, namespace, user: name } }];
  await writeFile(kubeconfig, JSON.stringify({ ...config, users: [user], contexts }), {
    mode: 0o600,
  });
  return {
    kubeconfig,
    async remove() {
      await rm(folder, { recursive: true, force: true });
      await world.remove("rolebinding", name, NAMESPACE);
      await world.remove("role", name, NAMESPACE);
    },
  };
}
