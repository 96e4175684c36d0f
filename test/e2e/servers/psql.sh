# Connects with libpq without pause, and tells once in ten times how often: sh psql.sh HOST.
good=0
bad=0
while :; do
  # One link, so that certificate and key are a pair.
  now=$(readlink -f /var/run/secrets/spiffe.io/..data)
  if answer=$(/usr/lib/postgresql/15/bin/psql -qAt "host=$1 user=app dbname=postgres sslmode=verify-ca sslrootcert=$now/ca.crt \
    sslcert=$now/tls.crt sslkey=$now/tls.key connect_timeout=10" \
    -c "select client_serial from pg_stat_ssl where pid = pg_backend_pid()" 2>&1); then
    good=$((good + 1))
  else
    bad=$((bad + 1))
    echo "failed: $answer"
  fi
  [ $(((good + bad) % 10)) -ne 0 ] || echo "$good good, $bad bad, client serial $answer"
done
