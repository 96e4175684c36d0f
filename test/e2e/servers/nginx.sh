set -e
# From before nginx reads the files: no rotation is missed.
sh /servers/on-rotation.sh nginx -c /servers/nginx.conf -s reload &
exec nginx -c /servers/nginx.conf -g "daemon off;"
