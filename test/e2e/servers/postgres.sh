set -e
bin=/usr/lib/postgresql/15/bin
spiffe=/var/run/secrets/spiffe.io
export PGDATA=/tmp/data
$bin/initdb --auth=reject --username=postgres --no-sync >/dev/null
cat >>$PGDATA/postgresql.conf <<END
listen_addresses = '*'
unix_socket_directories = '/tmp'
fsync = off
jit = off
ssl = on
ssl_cert_file = '$spiffe/tls.crt'
ssl_key_file = '$spiffe/tls.key'
ssl_ca_file = '$spiffe/ca.crt'
END
# Whoever calls is known by the first DNS name of its SVID, which is the certificate's common name.
cat >$PGDATA/pg_hba.conf <<END
local   all all     trust
hostssl all app all cert map=workloads
END
echo 'workloads load.shop app' >$PGDATA/pg_ident.conf
(
  until $bin/psql -qh /tmp -U postgres -c 'create role app login' postgres 2>/dev/null; do sleep 0.1; done
  touch /tmp/ready
) &
sh /servers/on-rotation.sh $bin/pg_ctl reload --silent &
exec $bin/postgres
