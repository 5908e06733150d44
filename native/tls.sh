# shellcheck shell=bash disable=SC2034
# TLS=on: the certificate that Nginx shows, the user's own or a self-signed one, in .data/tls.
TLS_FOLDER=$DATA/tls

tls_prepare() {
    local from_cert=$TLS_CERT from_key=$TLS_KEY of_cert of_key
    [ "$TLS" = on ] || return 0
    ( umask 077; mkdir -p "$TLS_FOLDER" )
    command -v openssl >/dev/null || install_packages openssl || die "TLS=on needs openssl"
    if [ -z "$from_cert$from_key" ]; then
        from_cert=$TLS_FOLDER/self-signed.pem from_key=$TLS_FOLDER/self-signed.key
        if [ ! -e "$from_key" ] || ! openssl x509 -in "$from_cert" -noout -checkend 86400 >/dev/null 2>&1; then
            (umask 077; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 397 -subj /CN=localhost \
                -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout "$from_key" -out "$from_cert") 2>"$DATA/logs/start.log" || die "no certificate: see $DATA/logs/start.log"
            say "Made a self-signed certificate for localhost; clients have to be told to trust it (curl --cacert ${from_cert#"$ROOT"/})."
        fi
    fi
    [ -r "$from_cert" ] || die "TLS_CERT=$from_cert cannot be read"
    [ -r "$from_key" ] || die "TLS_KEY=$from_key cannot be read"
    of_cert=$(openssl x509 -in "$from_cert" -noout -pubkey 2>/dev/null) || die "TLS_CERT=$from_cert is no certificate in PEM"
    of_key=$(openssl pkey -in "$from_key" -pubout 2>/dev/null) || die "TLS_KEY=$from_key is no key in PEM, or has a passphrase"
    [ "$of_cert" = "$of_key" ] || die "the key in TLS_KEY is not that of the certificate in TLS_CERT"
    # Readable for Nginx in a container, which is another user; the folder is this user's alone.
    cp "$from_cert" "$TLS_FOLDER/cert.pem" && cp "$from_key" "$TLS_FOLDER/key.pem"
    chmod 644 "$TLS_FOLDER/cert.pem" "$TLS_FOLDER/key.pem"
}

# tls_nginx HTTP-LISTEN HTTPS-LISTEN FOLDER HTTP2: HTTP2 says where this Nginx wants to be told of it, "listen" (before 1.25.1) or
# "directive". Sets what the template of Nginx's configuration asks for.
tls_nginx() {
    local port=''
    NGINX_LISTEN=$1 NGINX_TLS='' NGINX_REDIRECT=''
    [ "$TLS" = on ] || return 0
    [ "$HTTPS_PORT" = 443 ] || port=:$HTTPS_PORT
    NGINX_LISTEN="$2 ssl"
    [ "$4" != listen ] || NGINX_LISTEN="$NGINX_LISTEN http2"
    NGINX_TLS="ssl_certificate $3/cert.pem; ssl_certificate_key $3/key.pem; ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:tls:1m;"
    [ "$4" = listen ] || NGINX_TLS="$NGINX_TLS http2 on;"
    # 308: the method and the body stay.
    # shellcheck disable=SC2016 # $host and $request_uri are Nginx's
    NGINX_REDIRECT="server { listen $1 backlog=4096; return 308 https://\$host$port\$request_uri; }"
}
