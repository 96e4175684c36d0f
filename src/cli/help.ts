import type { Topic } from "./command.ts";

const CONNECTION = `Options of every command:
  -o, --output FORMAT        json or yaml, for programs
      --kubeconfig FILE      instead of the variable KUBECONFIG and ~/.kube/config
      --context NAME         of the kubeconfig, instead of its current one
      --signet-namespace NS  where the operator runs (signet-system)
      --operator-selector S  labels of its pods
                             (app.kubernetes.io/name=signet,app.kubernetes.io/component=operator)
      --inspect-port PORT    the operator's inspectPort (8090)
  -h, --help`;

const OVERVIEW = `Asks Signet's operator which pod has which identity, and why.

Usage: kubectl signet COMMAND

Commands:
  explain pod [NAMESPACE/]NAME     the pod's identities, and what every custom resource says of it
  explain clusterspiffeid NAME     the pods it selects, and what each gets
  explain clusterstaticentry NAME  the same
  render -f FILE                   what custom resources would give if they were applied
  entries                          the registration entries in effect
  version                          of this program and of the operator
  help COMMAND

${CONNECTION}

Needs the verbs get and create on pods/portforward and list on pods in the operator's namespace.
Exit code: 0, 1 when something failed or is invalid, 2 when the command line is wrong.`;

const TOPIC_TEXTS: Readonly<Record<Topic, string>> = {
  explain: `Explains a pod's identities, or what a custom resource gives.

Usage: kubectl signet explain pod [NAMESPACE/]NAME
       kubectl signet explain clusterspiffeid NAME
       kubectl signet explain clusterstaticentry NAME

A pod: its registration entries; every custom resource that was considered, and the clause that decided; when SVIDs were
issued last and until when; the last error. A custom resource: whether it is in effect, and what each of its pods gets.

  -n, --namespace NS  of the pod; the context's namespace when left out
      --pods N        how many pods of a custom resource are shown (20, at most 1000)

${CONNECTION}`,
  render: `Shows what custom resources would give if they were applied now. Nothing is written.

Usage: kubectl signet render -f FILE

The file holds one or several ClusterSPIFFEIDs, ClusterStaticEntries and ClusterFederatedTrustDomains, as YAML or JSON;
objects of other kinds are passed over. The operator checks each, and tries it on the pods that run now.
Exit code 1 when one of them is invalid.

  -f, --filename FILE  - is standard input

${CONNECTION}`,
  entries: `Lists the registration entries in effect, by namespace and pod.

Usage: kubectl signet entries [OPTIONS]

  -n, --namespace NS   of pods in this namespace only
      --node NAME      of pods on this node only
      --source OBJECT  of this custom resource only: NAME or KIND/NAME
  -o wide              adds lifetimes, DNS names, hint, selectors, parent and more

${CONNECTION}`,
  version: `Prints the version of this program and of every replica of the operator.

Usage: kubectl signet version [--client]

      --client  of this program alone

${CONNECTION}`,
};

/** The help on one command, or on all of them. */
export function helpText(topic?: Topic): string {
  return topic === undefined ? OVERVIEW : TOPIC_TEXTS[topic];
}
