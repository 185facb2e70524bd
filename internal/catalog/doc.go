// Package catalog makes a [checkout.Shop] of what a seller writes or has already: a
// YAML file, a CSV file, or the products at the processor.
//
// A YAML catalog:
//
//	currency: USD
//	products:
//	  - id: report
//	    title: Market report
//	    description: Forty pages, every Monday
//	    categories: [reports]
//	    price: 5.00
//	    digital: true
//	  - id: shirt
//	    title: Shirt
//	    variants:
//	      - {id: shirt-m, title: Medium, price: 19.00, stock: 40, options: {size: M}}
//	      - {id: shirt-l, title: Large, price: 19.00, stock: 25, options: {size: L}}
//	  - id: week
//	    title: A week of reports by API
//	    price: 20.00
//	    digital: true
//	    opens: [{route: reports, for: 168h}]
//	  - id: calls
//	    title: Credit for calls
//	    price: 5.00
//	    digital: true
//	    opens: {route: quotes, credit: true}
//	discounts: [{code: WELCOME, title: Ten percent off, percent: 10}]
//	taxes: [{country: US, region: CA, percent: 7.25}]
//	shipping: [{id: post, title: Post, price: 4.50, free_from: 50.00, days: 3-5}]
//	links: [{type: terms_of_service, url: "https://shop.example.com/terms"}]
//
// A CSV catalog has a row for each variant, and one of the columns id and title at
// least: id, title, price, description, product, product_title, categories, stock,
// limit, digital, sku, image, url, tax_class, options (size=M;colour=red), route,
// uses, for, credit (true).
package catalog
